"""What advertises or begs in a caption, by its words and its marks.

Pure functions over text: the words of advertisements and pleas, each with what has to follow it, and
the marks of a paid post.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from .automaton import automaton

#: The words that begin an advertisement or a plea, and what has to follow them, in lower case. In what follows a space is any white
#: space, a tilde any word or handle, a bracket only groups, and the end is no middle of a word.
_STARTS = (
    # look elsewhere: the profile, a site, a story
    ("link links", r"['’]?s?\s*(is |are )?(in|on)\s*(my |our |the )?(bio|profile|site|blog)"),
    ("link links", r"\b[^.\n]{0,40}\bin (~ ){0,2}(bio|profile|header)| (to (my|our|the)|below|is|here)"),
    ("linkinbio newsstand newsstands swipeup instastory instastories", r""),
    ("bio profile", r" link"),
    ("here", r"['’]?s (a|the) link"),
    ("visit", r" (my|our) other"),
    ("coming", r" to (the|my|our) (shop|store|site|website)"),
    ("check see visit hit click tap", r"\b[^.\n]{0,30}\b(in|on) (my|our|the) (bio|profile)"),
    ("check", r" out (the|this|an?|some|today['’]s) (~ ){0,3}(magazine|videos?|blog\w*|link|posts?|article|story|interview|website)"),
    ("check", r" out (the|this|an?|some|today['’]s) (~ ){0,3}(recipe|app|looks?|work|book|build|page|account|gallery|song|artists?)"),
    ("check", r" (it|this|them|['’]?em|him|her|us|me|my|our|their|(this )?@~) out| back\b[^.!?\n]{0,30}\b(at|for|soon|tomorrow|later|on)"),
    ("check", r" out (the|this)\b[^.!?\n]{0,60}\b(today|now|here)| out this (sweet|great|cool|amazing|awesome) ~"),
    ("check checkout", r"((?<=out)| out) (all )?(my|our|his|her|their|the (new|latest))"),
    ("check checkout visit see read watch", r" (out )?(my|our|his|her|their) (~ ){0,2}(blog|site|website|page|channel|profile)"),
    ("check checkout visit see read watch", r" (out )?(my|our|his|her|their) (~ ){0,2}(feed|store|shop|stand|booth|account|youtube|snap)"),
    ("check checkout visit see read watch", r" (out )?(my|our|his|her|their) (~ ){0,2}(story|stories|insta\w*|ig)"),
    ("click", r" (the )?link| (my|our|the) bio"),
    ("tap click", r" (~ )?(for|to shop)| (the|my|our) (photo|picture|pic|image|post|tags?)"),
    ("outfit", r" details"),
    ("details deets", r" (are )?(tagged|below|here|soon)"),
    ("get", r" this (~ )?look"),
    ("in", r" (my|our) profile"),
    ("on", r" demand"),
    ("swipe", r" up| to shop"),
    ("look", r" out for (this|the|my|our) (~ ){0,2}(issue|episode|book|post)"),
    ("look", r" at (my|our|his|her|their) (~ )?(profile|page|feed|story|stories|blog|shop|website)"),
    ("hit head", r" (over )?(to )?(the|my|our) (~ ){0,2}(comments|blog|link|shop|store|site|website|profile|bio)"),
    ("head hop", r" (on )?over to [^.!?\n]{0,40}\b(and|to) (watch|read|see|check|learn|enter|vote|follow)"),
    ("in", r" (~ ){0,2}bio| (my |the )?next post| the comments| my (vlog|blog|shop|store)"),
    ("in on", r" my (story|live)| stories\b(?! (of|from|about))"),
    ("on", r" (my|our|the|their|his|her) ((~ )?site|(~ ){0,2}(blog|website|journal|channel|youtube|snapchat|facebook|podcast))"),
    ("up live", r" on ((my|our|the) (site|website|channel|youtube)|(~ ){1,2}blog)"),
    ("youtube spotify itunes netflix", r" now"),
    ("now", r" also on"),
    ("now", r" on (youtube|itunes|spotify|soundcloud|amazon|netflix|display|view)"),
    ("my", r" (stories|youtube|snapchat)"),
    ("ig insta instagram", r"[\s-]*(story|stories)"),
    ("snap snapchat", r"\s*[:@]"),
    ("find", r" (out more|out all about|yours|your next)"),
    ("find", r" (all|more|my|our|the|it|them)\b[^.!?\n]{0,40}\b(in|on|at) (my|our|insta\w*|youtube|facebook)"),
    ("for", r" (more |all |full )?(info|information|details|deets)"),
    ("more", r" (info|information|details) (in|on|at|to come|soon|here)| on (insta\w*|snap\w*|youtube)"),
    ("learn", r" more (at|here|in|on|by|via)"),
    ("to", r" learn more"),
    ("see", r" more (about|on|from)"),
    ("just", r" (been )?released"),
    ("read", r" (the|our|my|their|his|her) ((full |whole )story|story and|(full |whole )?(article|interview|blog|post|review|feature))"),
    ("full", r" story(?=\s*([^\w\s]|$|via|at|on|here))| (article|interview|blog|post|recipe|details|review)"),
    ("recipe recipes", r" (is |are )?(now )?(on|up|live|at|in (my|our|the|profile))"),
    ("blog", r" posts?"),
    ("blogpost blogposts", r""),
    # be my audience: follow, like, comment, tag, share, vote
    ("subscribe f4f l4l", r""),
    ("follow", r"\b[^.!?\n]{0,40}\bfor (more|our|daily|updates|news|the latest)"),
    ("follow", r"\s*(for|4|back|4\s?follow)| (us|me|my|our|their|along|@\w+|(him|her|them) (now|here))"),
    ("follow", r" (his|her) (~ )?(page|feed|work|account)"),
    ("go", r" follow| (and |& |now )?(get|check|listen|stream|download|buy|grab|support|subscribe|vote) (now|this|my|our|them|to)"),
    ("remember", r" to follow"),
    ("and gets", r" a follow"),
    ("by", r" following @"),
    ("follow", r" the (story|journey|adventure|climb)|\b[^.!?\n]{0,30}\bon (snap|snapchat|insta|instagram|ig|facebook|twitter)"),
    ("give", r" (~ ){1,3}a follow| (them|him|her|us|me|it) (some love|a (follow|like))"),
    ("send show", r" (them|him|her|us|me) some (~ )?love"),
    ("new", r" followers"),
    ("turn", r" on (post )?notifications"),
    ("like", r"\s*(for|4)\s*like|\s*(&|and)\s*(share|follow|comment)"),
    ("double", r"[\s-]tap"),
    ("return", r" all (comments|likes|follows)"),
    ("comment comments", r" (down )?(below|down|your)"),
    ("comment", r" (an?|any|one|\d+) (~ )?(word|emoji)s?| (~ )?emojis?| ([^\w\s]+\s*)?(if|with)"),
    ("comment", r" \w-\w"),
    ("comment", r" (what|which|who|where|how|why)| [\"“']|,? (and |or )?(pm|dm|mail|tag|like)| an? [^\w\s]"),
    ("leave", r" (me |us )?(a|your) comments?"),
    ("leave drop", r" (an?|one|it|['’]?(e?m|me)|us|yours?) (~ ){0,3}below"),
    ("ideas thoughts answers", r" (down )?below"),
    ("rate", r" (this|these|it|my|me|us)\b[^.!?\n]{0,30}\b(1\s?-\s?\d+|out of|emojis?)"),
    ("tag", r" (an?|who|some|them|every\w*|\(?\d)"),
    ("tag mention", r" (~ ){0,3}(friends?|someone|somebody|people|buddies|buddy|bestie|besties|squad|person|mates?)"),
    ("tagging", r" (us|your)"),
    ("tag hashtag", r" (us|your|to)"),
    ("repost", r" (this|if)"),
    ("share", r" (it |this )?(to|with) your friends| your\b[^.!?\n]{0,40} below"),
    ("send", r" this to (your|a|someone|the)"),
    ("linked", r" (this|it|them|everything)"),
    ("blog", r"(?=\))"),
    ("vote", r" for (me|us|my|our)"),
    ("fan", r" vote"),
    ("for", r" a (feature|shout\s?-?out)| the (recent )?(feature|repost|shout\s?-?out)s?\b(?! films?\b)"),
    ("featured", r" on our"),
    ("please", r" (join|come (to|and|see|by|out)|visit|check|share (this|with|it)|support|donate|sign|help (us|them|support|spread))"),
    # win something
    ("giveaway giveaways sweepstake sweepstakes", r""),
    ("give", r"\s?-?aways?"),
    ("enter", r" to win"),
    ("enter entering join", r"\b[^.\n]{0,25}\b(contest|competition|raffle|draw)"),
    ("running", r" a (contest|competition)"),
    ("contest competition", r" (is )?(open|extended|ends?|closes|rules|entry|entries)"),
    ("to", r" win (one|your|free|these|some|two|tickets?|\d+)| (get|be) (featured?|shout\s?-?out)"),
    ("for", r" a chance to win"),
    ("chance", r" (to (win|be featured)|of (a )?feature)"),
    # buy something
    ("discount discounts preorder preorders restock restocked", r""),
    ("discount promo coupon voucher", r"\s*codes?"),
    ("use", r" (my |our |the )?code| swipe up"),
    ("code", r"\s*:? [\"“']?[a-z]{3,}\d*"),
    ("free", r" (shipping|delivery|entry|trial)"),
    ("worldwide", r" (shipping|delivery)"),
    ("ship ships shipping", r" worldwide"),
    ("on flash summer winter big", r" sale"),
    ("sale", r" (ends|starts|is on|coming)"),
    ("almost", r" sold out"),
    ("back", r" in stock"),
    ("before while", r" they('re|’re| are) gone| (they|stocks?|supplies) last"),
    ("limited", r" (stores|stock|quantit\w+|spots|spaces|time (only|offer))"),
    ("spot spots spaces seats places", r" (are )?(still )?(left|available|remaining|limited)"),
    ("only just under for from at", r" (only )?[$€£]\s?\d+"),
    ("priced", r" at"),
    ("retail", r" price"),
    ("for any every", r" purchase"),
    ("your", r" (local )?(~ )?(stores|dealer|retailer|bookstore)"),
    ("gift", r" guide"),
    ("complete", r" your (~ )?look"),
    ("order book buy shop reserve preorder register", r" (yours? )?(now|today|online|here)"),
    ("shop", r" (~ ){1,2}(now|today|online|here)| (the|our|my|this|your)"),
    ("online", r" (shop|store)"),
    ("in", r" (stores (now|soon)|stock(?=\s*([^\w\s]|$)))"),
    ("ready", r" to be yours"),
    ("pre", r"-?orders?"),
    ("getting", r" yours"),
    ("get", r" your (~ ){1,3}free"),
    ("become", r" one of (us|our|the|@)"),
    ("get", r" yourself an? (ticket|copy)| paid| your(s| tickets?)"),
    ("grab", r" your(s|self| tickets?)"),
    ("pick", r" (one|yours?|some) up| up (your|a copy|one)"),
    ("buy get book", r" (your )?tickets?"),
    ("ticket tickets", r" (available|on sale|at|here)"),
    ("can", r" still (purchase|buy|order|get|register|sign)"),
    ("if", r" you(['’]re| are) interested in| you(['’]d| would) like to (join|book|order|buy)"),
    ("now", r" available"),
    ("available", r" (now|online|here|today|in|at|from|on|via|as prints?)|\.?(?=\s*(?:$|#))"),
    ("available", r" for (purchase|order|pre-?order|bookings?|hire|sale|download)"),
    ("print prints", r" (are )?available"),
    ("will", r" (be (available|released|on sale)|launch|ship)"),
    ("downloaded", r" (now|here|from|at)"),
    ("download", r" (the|our|my) (~ )?(app|guide|track|song|podcast|episode|playlist|wallpaper|e-?book)"),
    ("proceeds", r" (will )?(go|goes|benefit|from|of|help|support)"),
    ("our", r" (~ ){1,3}(dress|coat|cape|maxi|midi|skirt|blouse|hoodie|jumpsuit|romper|swimsuit|bikini|shirt)"),
    ("our", r" (~ ){1,3}(necklace|earrings|bracelet|bottle)"),
    ("our", r" (~ ){0,3}(lookbook|showroom|boutique|salon|customers?|bestsellers?|stock|web ?store|product range)"),
    ("from in", r" our (~ ){0,2}(cook|e-?)?book\b(?! club)"),
    ("our", r" campaign"),
    ("most", r" trusted"),
    ("value", r" proposition"),
    ("members", r" (area|only)"),
    # write to me
    ("dm message inbox email contact", r"\W*(me|us)?\W*(to|for) (orders?|book|prices?|pricing|bookings?|inquir\w+|info|more)"),
    ("dm message inbox email contact", r"\W*(me|us)?\W*(to|for) (details|promo|e-?books?|recipes?)"),
    ("dm email book", r" (me|us)"),
    ("now", r" booking"),
    ("a please", r" dm"),
    ("hit", r" me (up )?(for|if|with)"),
    ("shoot drop send", r" (me|us) an? (~ )?(message|dm|email|line|note|pm|text)"),
    ("apply", r" (now|today|online|here|at)"),
    ("sign", r" up (now|today|online|here)"),
    ("are re now", r" hiring"),
    ("model", r" call"),
    # something is out, or will be
    ("to", r" announce"),
    ("to", r" bid"),
    ("stay", r" tuned"),
    ("going", r" live"),
    ("coming", r"(?<!\w\scoming) soon|(?<!is\scoming) soon(?=\s*([^\w\s]|$))"),
    ("more something", r" (~ ){0,3}coming (soon|in|this|next)"),
    ("more", r" up now"),
    ("campaign", r" (now )?live"),
    ("keep", r" an eye out\b(?! for\b)"),
    ("out", r" now"),
    ("is are", r"(?<!sun\sis) (now |finally |officially )?out (today|tomorrow|everywhere)"),
    ("new latest full my", r" (video|vlog|blog\s?post|post|episode|podcast) (is )?(now )?(up|out|live|on)"),
    ("vid video vlog", r" (is |went )?(now )?(up|live|uploaded)| to come"),
    ("uploaded", r" (an?|my|the) (~ ){0,3}(video|vlog|playlist)"),
    ("video videos vlog content episode collection dates tutorial merch app review", r" (is |are )?(coming|dropping)"),
    ("watch", r" this space| (it |us |me )?live| (the )?(full|whole) (video|episode|vlog|tutorial|interview)"),
    ("upcoming", r" (~ ){0,2}(workshops?|class|feature|issue|tour|shows?|album|book|release|collection|webinar|course|sale)"),
    ("our my", r" (very )?(own|new|newest|latest|upcoming) (~ ){0,3}(issue|collection|book|cookbook|album\b(?! of)|single|range|menu|app)"),
    ("our my", r" (very )?(own|new|newest|latest|upcoming) (~ ){0,3}(campaign|podcast|arrivals?|products?|designs?|store|merch|song)"),
    ("our my", r" (very )?(own|new|newest|latest|upcoming) (~ ){0,3}(website|track|series|course|palette|video|vlog|film|documentary)"),
    ("my", r" (first|second|third|last|recent) (~ )?(cook|e-?)?book"),
    ("launch", r" (of|party|event)"),
    ("book shop album store website", r" launch"),
    ("launching", r" (my|our|the|their|an? (~ ){0,2}new)"),
    ("launching launches dropping drops", r" (today|tonight|tomorrow|soon|this (\w+day|week|month)|next (week|month))"),
    ("release", r" date"),
    ("tune", r" in(to)?"),
    ("airs", r" (tonight|today|tomorrow|on)"),
    # an event
    ("rsvp", r""),
    ("with", r" us (from|at) \d+"),
    ("book", r" signing"),
    ("on", r" (display|view) now"),
    ("meet", r" (and|&|n) greet"),
    ("exhibition show gallery shop store", r" opens"),
    ("opening", r" (tonight|tomorrow|(on |this )?(mon|tues|wednes|thurs|fri|satur|sun)day)"),
    ("workshop class exhibition", r" (will be|takes place|taking place)"),
    ("come", r" (and )?(meet|see|visit|join) (me|us|myself|our|ya)| (say hi|and hang|drop by|watch (us|me|my)|find us)"),
    ("applications", r" (for|are|is|now)"),
    ("join", r" (me|us) (at|from|live|today|tonight|tomorrow)| us (as|in|for|on|this|every|and)"),
    ("join", r" the (fastest|growing|community|movement|challenge)"),
    ("catch", r" (it|us|me|my|our|their) (live|tonight|tomorrow|on|tour|show|set)"),
    ("save", r" the date"),
    ("guest", r"\s?list"),
    ("doors", r" open (at|from|\d+)"),
    ("open", r" daily"),
    ("free", r" and open to the public"),
    ("grand", r" opening"),
    ("tour", r" dates"),
    ("booth", r" [a-z]?\d+"),
    # found in what was kept
    ("sign", r" up to (take part|join|get|receive)"),
    ("join joining joined", r" the (~ ){0,4}(community|program|waitlist|club now)"),
    ("by", r" following(?=\s*([^\w\s]|$))"),
    ("great perfect", r" (as )?(an? )?(~ )?gifts? (for|idea)"),
    ("uploaded upload", r" (an?|my|the|our) (~ ){0,3}(haul|cover|tutorial|review|clip)"),
    ("tap", r" (~ ){1,3}to (see|find|read|watch|shop)"),
    ("swipe", r" (left |right |over )?to (see|watch|read|find)"),
    ("hashtag", r" me"),
    ("this", r" (new )?(collection|palette|range|line|edition) (contains|has|comes|features|includes|is available)"),
    ("grand", r" prize"),
    ("hear", r" our (chat|podcast|interview|new|song|story)"),
    ("site website shop store", r" is (back )?(up|live|open|online|running)"),
    ("on", r" (facebook|twitter|youtube)( and|,| &)"),
    ("learn", r" about our| more about \S+ (~ ){0,3}(from|in|on) (my|our)"),
    ("link", r" (my|our) (bio|profile)"),
    ("you", r"(['’]ll)? can (now )?(find|get|read|watch|hear|buy) (our|my)\b"),
    ("will", r" be (giving|teaching|signing|hosting|speaking|performing|playing) (an?|at|my|our|in|tonight|live)"),
    ("are is", r" (going )?on sale|\s?(back )?in stock"),
    ("posting posted post", r" (videos|tutorials|workouts|recipes) of"),
    ("perfect best", r" app"),
    ("browse", r" (through )?(my|our)"),
    ("google", r" (my|our|us|me)\b"),
    ("the my our", r" (new )?(cover|trailer|teaser|music video|lookbook|ep|single|mixtape) is (out|here|finally|up|now)"),
    (
        "new",
        r" (collection|arrivals?|collab\w*|drops?|merch|ep|single|website|palette|product|products|pieces|styles|colou?rs|flavou?rs|launch) (from|by|is|are|at|out|in|for)",
    ),
    ("sneak", r" peeks? (of|at|from)"),
    ("now", r" (open|playing|in (stores|cinemas|theaters))"),
    ("in", r" (theaters|cinemas|stores|shops)(?=\s*([^\w\s]|$|now|today|on|near|everywhere))"),
    ("hits", r" (theaters|cinemas|stores|shelves)|\s+an? (theater|cinema|store) near"),
    ("my our", r" (clients?|customers?|followers|subscribers)"),
    ("of", r" (the )?(profits|proceeds|sales)"),
    ("must", r"[\s-]?(have|buy)s?(?=\s*([^\w\s]|$))"),
    ("limited", r" (edition|stock|number|availability)"),
    ("sold", r" out"),
    ("help", r" (us|me) (reach|win|support|raise|grow)"),
    ("raise raising", r" (money|funds|awareness)"),
    ("donate donations donation", r""),
    ("fundraiser crowdfunding kickstarter gofundme patreon indiegogo", r""),
    ("lookbook", r""),
    ("please", r" (discuss|comment|tag|like|follow|vote|repost)"),
    ("let", r" (me|us) know (in|below|what you think (in|below))"),
    (
        "wearing",
        r" (the|my|our) (new |~ ){0,2}(watch|dress|leggings|top|collection|skirt|jeans|sneakers|boots|jacket|bikini|set|suit) (in|from|by|of)\b",
    ),
    ("in", r" the (~ ){2,3}(skirt|dress|jumpsuit|romper|leggings|bodysuit)(?=\s*([^\w\s]|$))"),
    # it was paid for
    ("paid", r" (partnership|promotion)"),
    ("sponsored", r" (post|by)"),
    ("exclusively", r" managed"),
)
_rests: dict[str, list[str]] = {}
for _words, _rest in _STARTS:
    for _word in _words.split():
        _rests.setdefault(_word, []).append(re.sub(r"\((?!\?)", "(?:", _rest.replace(" ", r"\s+").replace("~", r"\S*[^\s.,:;!?]")))
#: For each of the words one expression, in which the word comes first: what begins with a literal is found fastest. A caption is looked
#: at with those of its own words only, in a tenth of the time that one large expression takes.
_ADVERTISES = {
    word.encode(): re.compile(rf"{word}(?<![a-z0-9]{word})(?![a-z0-9])(?:{'|'.join(rests)})(?:(?<!\w)|(?!\w))")
    for word, rests in _rests.items()
}
#: Bytes for ``bytes.translate``: those of such words stay, the others are spaces.
_WORDS_ONLY = bytes(code if chr(code) in "abcdefghijklmnopqrstuvwxyz0123456789" else 32 for code in range(256))
_PRICE_MARK = re.compile("[$€£%👻]")
_PRICE = re.compile(r"[$€£]\s?\d+(?:[.,]\d\d)?\s+(?:off|only|each|per|for|cash)\b|\b\d{1,2}\s?%\s+(?:off|discount)\b|👻\s*:?\s*\w")
#: What an advertisement must be marked with (FTC, "Disclosures 101 for Social Media Influencers", 2019), as tags and in words, and the
#: tags of giveaways and sales.
_DISCLOSING_TAG = re.compile(
    r"#(?:ads?|advert\w*|spons?|(?!not)\w*sponsored\w*|paid\w*|gifted|\w*partners?|\w*ambassador|collaboration|liketkit|anzeige|werbung"
    r"|\w*giveaways?|\w*contest|gewinnspiel|(?:for|on|flash|print)?sales?|linkin(?:bio|profile))\b"
)
_DISCLOSURE = re.compile(
    r"\bliketk\.it\b|\bsponsored\s+(?:post|by)\b|(?:^|[|/(])\s*sponsored\b|\bsponsored\s*(?:$|[|/)])|\bpaid\s+(?:partnership|promotion)\b"
    r"|(?:\bin\s+(?:paid\s+)?|\()(?:collaboration|partnership)\s+with\b|(?:^|\s)[/*(]ad\b"
)
#: What a text with one of them has at least, for RE2.
DISCLOSURE_SIGNS = (
    r"(?i)#(?:ad|spon|[^\s#]*sponsored|paid|gifted|[^\s#]*partner|[^\s#]*ambassador|collaboration|liketkit|anzeige|werbung|[^\s#]*giveaway"
    r"|[^\s#]*contest|gewinnspiel|(?:for|on|flash|print)?sale|linkin)|liketk|sponsored|paid\s|(?:collaboration|partnership)\s+with|[/*(]ad"
)


#: Words of trade and of media, each of which is in honest captions too; several different ones are not, or seldom: of 861 English tweets and
#: sentences they take six that advertise and three that don't.
_OF_TRADE = frozenset(
    (
        "collection collections app apps lecture program programme launch launched launching brand brands partner partners edition exclusive "
        "exclusively featuring featured exhibit exhibition cover magazine mag issue video videos channel site website online store stores limited "
        "event events ticket tickets workshop workshops tour premium product products shades palette serum cosmetics skincare profile blog vlog "
        "youtube facebook twitter snapchat spotify podcast episode trailer premiere album ep merch code sale discount offer prize giveaway contest "
        "competition protein supplement supplements coaching clients client customers customer orders shipping ships shop shops follow tag comment "
        "vote subscribe download available designed designer designers collab collaboration campaign hosted hosting sponsor sponsored ambassador "
        "reveal revealing announce announcement announced upcoming release released releasing catalog stock restock personalized custom handcrafted "
        "luxury boutique earrings necklace smartphone battery resort spa showroom"
    ).split()
)
#: So many of them are too many in a caption of at most so many words.
_TOO_MANY_OF_TRADE = ((40, 2), (120, 3), (10**6, 4))
_LOOK_AROUND = re.compile(r"\(\?<?[=!](?:\\.|[^()\\]|\((?:\\.|[^()\\])*\))*\)")


def _sign(words: str, rest: str) -> str:
    """Return one of ``_STARTS`` for RE2, which looks neither ahead nor back and knows the letters of ASCII alone: it matches a little more."""
    rest = re.sub(r"\{0,\d\d\}", "*", _LOOK_AROUND.sub("", rest)).replace(r"[^\w\s]", "[^a-z0-9_\\s]")
    rest = rest.replace(r"\w", r"[^\x00-/:-@\[-^`{-\x7f]").replace(" ", r"\s+").replace("~", r"\S*[^\s.,:;!?]")
    return rf"\b(?:{words.replace(' ', '|')})(?:{rest})"


@cache
def _looker() -> Any:
    """Return what looks for all of ``_STARTS`` and for prices at once, in a sixth of the time that they take one by one."""
    return automaton(["|".join(_sign(*start) for start in _STARTS) + r"|[$€£]\s?\p{Nd}|\p{Nd}\s?%\s|👻"])


def advertised(text: str) -> str:
    """Return the words in ``text`` that advertise, in lower case, or an empty string."""
    lower = text.lower().replace("e-mail", "email")
    data = lower.encode("utf-8", "replace")
    if not _looker().Match(data):
        return ""
    starts = _ADVERTISES.keys() & data.translate(_WORDS_ONLY).split()
    if found := [match for match in (_ADVERTISES[word].search(lower) for word in starts) if match]:
        return min(found, key=re.Match.start)[0]
    match = _PRICE.search(lower) if _PRICE_MARK.search(lower) else None
    return match[0] if match else ""


def trades(words: Sequence[str]) -> str:
    """Return the words of trade among ``words``, those of a caption in lower case, or an empty string if they are few enough for an honest one."""
    found = _OF_TRADE.intersection(words)
    enough = next(count for length, count in _TOO_MANY_OF_TRADE if len(words) <= length)
    return ", ".join(sorted(found)) if len(found) >= enough else ""


def disclosure(text: str) -> str:
    """Return the mark of a paid post in ``text``, tags included, in lower case, or an empty string."""
    lower = text.lower()
    match = _DISCLOSING_TAG.search(lower) or _DISCLOSURE.search(lower)
    return match[0] if match else ""
