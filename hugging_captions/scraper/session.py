"""An Instagram session for instaloader: loading, verification, and announced waits.

The password is read from the terminal and never stored. A session is saved where instaloader keeps its own, readable
only by the user. Cookies never appear in a log, an error or a file of this project.
"""

from __future__ import annotations

import getpass
import http.cookiejar
import logging
import pickle
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import NoReturn

import instaloader
import requests
from instaloader import Instaloader, InstaloaderContext, RateController
from instaloader.instaloader import get_default_session_filename, get_legacy_session_filename

from ..errors import InputError, InstagramError, UsageError, from_os_error
from ..options import PullOptions
from .feeds import USE_BROWSER, FeedError, RefusedError, ask
from .records import at, is_instagram

log = logging.getLogger(__name__)

#: Waits longer than this many seconds are announced.
ANNOUNCED_WAIT = 5
#: Attempts of one request, with waits between them, before it counts as refused.
ATTEMPTS = 3
#: Query hash of instaloader's own session test: the answer has the user name.
_USER_HASH = "d6f4427fbe92d846298cf93df0b937d3"

NOTICE = (
    "Instagram's terms restrict automated access. Instagram may ask for verification, limit the account or close it. Use an account "
    "that you don't need otherwise, and collect no more than your research needs."
)
BROWSERS = ["brave", "chrome", "chromium", "edge", "firefox", "librewolf", "opera", "opera_gx", "safari", "vivaldi"]


class AnnouncingRateController(RateController):
    """instaloader's rate control, with every wait of more than ``ANNOUNCED_WAIT`` seconds announced."""

    def sleep(self, secs: float) -> None:
        """Wait ``secs`` seconds; log how long and until when."""
        if secs > ANNOUNCED_WAIT:
            log.info("waiting %.0f s for Instagram's rate limit, until %s", secs, f"{datetime.now() + timedelta(seconds=secs):%H:%M:%S}")
        super().sleep(secs)


class LoggingContext(InstaloaderContext):
    """instaloader's context, whose notes go to the log."""

    def error(self, msg: object, repeat_at_end: bool = True) -> None:
        """Log a note of instaloader at debug level; errors that end a request are raised as well."""
        log.debug("instaloader: %s", msg)


def new_loader() -> Instaloader:
    """Return an Instaloader that prints nothing, respects its rate limits and treats a 401 as final."""
    loader = Instaloader()
    loader.context = LoggingContext(
        quiet=True,
        max_connection_attempts=ATTEMPTS,
        request_timeout=30.0,
        fatal_status_codes=[401],
        rate_controller=AnnouncingRateController,
    )
    return loader


def open_session(options: PullOptions) -> InstaloaderContext:
    """Return a context with the session that ``options`` name, verified; without one, an anonymous context.

    Raises:
        InputError: a session or cookie file is missing or unreadable.
        InstagramError: the login failed or Instagram doesn't accept the session.
        UsageError: a password is needed, but there is no terminal.
    """
    loader = new_loader()
    if cookies := read_cookies(options):
        loader.load_session(options.login or "unknown", cookies)  # _verify requests the name
        _verify(loader)
    elif options.login:
        _ask_and_log_in(loader, options.login)
        _verify(loader)
        loader.save_session_to_file()
    elif {*options.feed} != {"graph-api"}:  # Meta's API needs a token instead
        log.warning("no session given: Instagram shows hashtags only to accounts; see --login, --session-file and --cookies")
    return loader.context


def read_cookies(options: PullOptions) -> dict[str, str]:
    """Return the cookies of the session that ``options`` name, as they are on this machine; empty where there is none yet.

    Raises:
        InputError: a session or cookie file is missing, unreadable or incomplete.
        UsageError: the browser isn't known, or its cookies need a package that isn't installed.
    """
    saved = [Path(find(options.login)) for find in (get_default_session_filename, get_legacy_session_filename)] if options.login else []
    path = options.session_file or next((path for path in saved if path.exists()), None)
    if options.cookies:
        cookies = _file_cookies(options.cookies)
    elif options.cookies_from:
        cookies = _browser_cookies(options.cookies_from)
    elif path:
        cookies = _session_cookies(path)
    else:
        return {}
    if "csrftoken" not in cookies:
        raise InputError("the cookie csrftoken is missing from the session", "export all cookies of instagram.com, after logging in there")
    return cookies


class _PlainUnpickler(pickle.Unpickler):
    """Reads instaloader's session file, a pickled dictionary of strings, and refuses anything that could run code."""

    def find_class(self, module: str, name: str) -> NoReturn:
        raise pickle.UnpicklingError("it contains more than plain values")


def _session_cookies(path: Path) -> dict[str, str]:
    """Return the cookies in an instaloader session file."""
    try:
        with open(path, "rb") as handle:
            cookies: object = _PlainUnpickler(handle).load()
        if not (isinstance(cookies, dict) and all(isinstance(item, str) for pair in cookies.items() for item in pair)):
            raise ValueError("it has no cookies")
    except OSError as error:
        raise from_os_error(error, "read", path) from error
    except Exception as error:  # a damaged pickle can raise anything
        advice = "delete it and log in again with --login USER, or use --cookies"
        raise InputError(f"{path} is not an instaloader session file: {error}", advice) from error
    return cookies


def _file_cookies(path: Path) -> dict[str, str]:
    """Return Instagram's cookies of a Netscape cookies.txt."""
    jar = http.cookiejar.MozillaCookieJar(str(path))
    try:
        jar.load(ignore_discard=True, ignore_expires=True)
    except (OSError, UnicodeDecodeError) as error:  # a file of another format is an OSError without a number
        why = getattr(error, "strerror", None) or "it is not a Netscape cookies.txt"
        raise InputError(f"cannot read {path}: {why}", "export the cookies of instagram.com in the Netscape format") from error
    return _instagram_only(jar)


def _browser_cookies(browser: str) -> dict[str, str]:
    if browser not in BROWSERS:
        raise UsageError(f"--cookies-from {browser}: no such browser", "one of: " + ", ".join(BROWSERS))
    try:
        import browser_cookie3  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise UsageError("--cookies-from needs the package browser_cookie3", "python -m pip install browser_cookie3") from error
    try:
        return _instagram_only(getattr(browser_cookie3, browser)(domain_name="instagram.com"))
    except browser_cookie3.BrowserCookieError as error:
        raise InputError(f"cannot read the cookies of {browser}", "export them to a file and use --cookies") from error


def _instagram_only(jar: http.cookiejar.CookieJar) -> dict[str, str]:
    cookies = {cookie.name: cookie.value or "" for cookie in jar if is_instagram(cookie.domain.lstrip("."))}
    if not cookies.get("sessionid"):
        raise InputError("there is no Instagram session in these cookies", "log in to instagram.com in the browser, then export again")
    return cookies


def _ask_and_log_in(loader: Instaloader, user: str) -> None:
    """Ask for the password and, if Instagram requires it, the two-factor code, and log in."""
    if not sys.stdin.isatty():
        raise UsageError(f"there is no saved session of {user!r}, and no terminal to ask for the password", "run it once at a terminal")
    log.warning("%s", NOTICE)
    try:
        try:
            loader.login(user, getpass.getpass(f"Password of {user} (not shown, not kept): "))
        except instaloader.TwoFactorAuthRequiredException:
            sys.stderr.write("Two-factor code: ")
            sys.stderr.flush()
            loader.two_factor_login(sys.stdin.readline().strip())
    except requests.RequestException as error:  # instaloader sends these requests without its own error handling
        raise InstagramError(
            f"login of {user!r} failed: Instagram can't be reached", "check the network, then repeat the command"
        ) from error
    except (instaloader.LoginException, instaloader.ConnectionException, KeyError) as error:
        raise InstagramError(
            f"login of {user!r} failed: {error}", "complete any verification in the app or browser, then use --cookies"
        ) from error


def _verify(loader: Instaloader) -> None:
    """Check that the session has a ``sessionid`` and that an authenticated request succeeds."""
    if not loader.save_session().get("sessionid"):
        raise InstagramError("the session is empty: Instagram answered the login without a sessionid", USE_BROWSER)
    try:
        user = at(ask(loader.context.graphql_query, _USER_HASH, {}), "data", "user", "username")
    except RefusedError as error:
        raise InstagramError(str(error), error.advice) from error
    except FeedError as error:
        raise InstagramError(f"{error}, so the session can't be checked", "check the network, then repeat the command") from error
    if not isinstance(user, str):
        raise InstagramError("Instagram does not accept this session", f"{USE_BROWSER}, or delete the saved session and --login again")
    loader.context.username = user
    log.info("logged in as %s", user)
