"""An Instagram session for instaloader: where it comes from, whether it holds, how waits are told.

The password is asked for at the terminal and kept nowhere; a session is saved where instaloader
keeps its own, readable by the user alone. Cookies never reach a log, an error or a file of ours.
"""

from __future__ import annotations

import getpass
import http.cookiejar
import logging
import pickle
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

import instaloader
from instaloader import Instaloader, InstaloaderContext, RateController
from instaloader.instaloader import get_default_session_filename, get_legacy_session_filename

from ..errors import InputError, InstagramError, UsageError, from_os_error
from ..options import PullOptions
from .feeds import unreachable

log = logging.getLogger(__name__)

#: Waits longer than this many seconds are announced.
ANNOUNCED_WAIT = 5
#: Tries of one request, waits between them included, before it counts as refused.
ATTEMPTS = 3

NOTICE = (
    "Instagram's terms restrict automated access. Your account may be asked for a check, limited or closed. Use an account that you "
    "can do without, use it for nothing else meanwhile, and collect no more than your research needs."
)
BROWSERS = ["brave", "chrome", "chromium", "edge", "firefox", "librewolf", "opera", "opera_gx", "safari", "vivaldi"]


class AnnouncingRateController(RateController):
    """instaloader's rate control, with every long wait announced."""

    def sleep(self, secs: float) -> None:
        """Wait ``secs`` seconds; say how long and until when if it is more than a moment."""
        if secs > ANNOUNCED_WAIT:
            until = datetime.now() + timedelta(seconds=secs)
            log.info("waiting %.0f s for Instagram's rate limit, until %s", secs, until.strftime("%H:%M:%S"))
        super().sleep(secs)


def new_loader() -> Instaloader:
    """Return an Instaloader that prints nothing, keeps to its rate limits and treats a 401 as final."""
    loader = Instaloader(
        quiet=True,
        max_connection_attempts=ATTEMPTS,
        request_timeout=30.0,
        fatal_status_codes=[401],
        rate_controller=AnnouncingRateController,
    )
    loader.context.error = _log_error  # type: ignore[method-assign]
    return loader


def _log_error(message: Any, repeat_at_end: bool = True) -> None:
    """Take instaloader's notes to the log; it swallows a Ctrl-C and a lost network, so give those back."""
    if str(message) == "[skipped by user]":
        raise KeyboardInterrupt
    if "checking if logged in" in str(message) and (host := unreachable(str(message))):
        raise InstagramError(f"{host} can't be reached, so the session can't be checked", "check the network, then repeat the command")
    log.debug("instaloader: %s", message)


def open_session(options: PullOptions) -> InstaloaderContext:
    """Return a context with the session that ``options`` name, verified; without any, an anonymous one.

    Raises:
        InputError: a session or cookie file is missing or unreadable.
        InstagramError: the login failed or Instagram doesn't accept the session.
        UsageError: a password is needed and there is no terminal to ask at.
    """
    loader = new_loader()
    context = loader.context
    if options.cookies or options.cookies_from:
        _use_cookies(context, _file_cookies(options.cookies) if options.cookies else _browser_cookies(str(options.cookies_from)))
    elif options.session_file:
        _use_session_file(context, options.session_file, options.login)
    elif options.login:
        saved = next((path for path in _saved_sessions(options.login) if path.exists()), None)
        if saved is None:
            _ask_and_log_in(loader, options.login)
            return context
        _use_session_file(context, saved, options.login)
    else:
        log.warning("no session given: Instagram shows hashtags only to accounts; see --login, --session-file and --cookies")
        return context
    _verify(context)
    return context


def _saved_sessions(user: str) -> list[Path]:
    return [Path(get_default_session_filename(user)), Path(get_legacy_session_filename(user))]


class _PlainUnpickler(pickle.Unpickler):
    """Reads instaloader's session file, a pickled dictionary of strings, and refuses anything that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError("it holds more than plain values")


def _use_session_file(context: InstaloaderContext, path: Path, user: str | None) -> None:
    try:
        with open(path, "rb") as handle:
            cookies = _read_session(handle)
    except OSError as error:
        raise from_os_error(error, "read", path) from error
    except Exception as error:  # a damaged pickle raises whatever its bytes happen to ask for
        raise InputError(f"{path} is no instaloader session file: {error}", "log in anew with --login USER, or use --cookies") from error
    context.load_session(user or path.name.removeprefix("session-") or None, cookies)


def _read_session(handle: IO[bytes]) -> dict[str, str]:
    cookies = _PlainUnpickler(handle).load()
    if not (isinstance(cookies, dict) and all(isinstance(item, str) for pair in cookies.items() for item in pair)):
        raise ValueError("it holds no cookies")
    return cookies


def _use_cookies(context: InstaloaderContext, cookies: dict[str, str]) -> None:
    context.load_session(None, cookies)


def _file_cookies(path: Path) -> dict[str, str]:
    """Return Instagram's cookies of a Netscape cookies.txt."""
    jar = http.cookiejar.MozillaCookieJar(str(path))
    try:
        jar.load(ignore_discard=True, ignore_expires=True)
    except http.cookiejar.LoadError as error:
        raise InputError(f"{path} is no Netscape cookies.txt", "export the cookies of instagram.com in the Netscape format") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {getattr(error, 'strerror', None) or 'not text'}") from error
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
    cookies = {cookie.name: cookie.value or "" for cookie in jar if cookie.domain.lstrip(".").endswith("instagram.com")}
    if not cookies.get("sessionid"):
        raise InputError(
            "there is no Instagram session in these cookies", "log in to instagram.com in the browser first, then export again"
        )
    return cookies


def _ask_and_log_in(loader: Instaloader, user: str) -> None:
    """Ask for password and second factor at the terminal, log in, verify, and save the session (mode 0600)."""
    if not sys.stdin.isatty():
        raise UsageError(f"there is no saved session of {user!r}, and no terminal to ask for the password", "run it once at a terminal")
    log.warning("%s", NOTICE)
    try:
        try:
            loader.login(user, getpass.getpass(f"Password of {user} (not shown, not kept): "))
        except instaloader.TwoFactorAuthRequiredException:
            sys.stderr.write("Code of the second factor: ")
            sys.stderr.flush()
            loader.two_factor_login(sys.stdin.readline().strip())
    except (instaloader.LoginException, instaloader.ConnectionException, KeyError) as error:
        raise InstagramError(f"login of {user!r} failed: {error}", "answer any check in the app or browser, then use --cookies") from error
    _verify(loader.context)
    loader.save_session_to_file()


def _verify(context: InstaloaderContext) -> None:
    """Make sure that the session has a ``sessionid`` and that one authenticated request succeeds."""
    if not context._session.cookies.get_dict().get("sessionid"):
        raise InstagramError(
            "the session is empty: Instagram answered the login without a sessionid", "log in with a browser and use --cookies"
        )
    user = context.test_login()
    if user is None:
        raise InstagramError(
            "Instagram does not accept this session (any more)", "log in with a browser and use --cookies, or --login anew"
        )
    context.username = user
    log.info("logged in as %s", user)
