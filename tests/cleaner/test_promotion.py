"""What advertises, each with the words that decide, and what only looks like it."""

from __future__ import annotations

import pytest

from hugging_captions import language
from hugging_captions.cleaner import promotion

ADVERTISES = [
    # look elsewhere
    ("Rain since Monday, more on my insta stories", "insta stories"),
    ("The whole climb is in my story", "in my story"),
    ("The wet half of the trip is on stories", "on stories"),
    ("You saw the bear in my IG-story", "ig-story"),
    ("All the gear is on my new website", "on my new website"),
    ("The recipe for the soup? Recipe on the hut site", "recipe on"),
    ("Find all the maps in my drawer on Instagram", "find all the maps in my"),
    ("Here's a link to the old map", "here's a link"),
    ("Read the full story of the two marmots", "read the full story"),
    ("I wrote a blog post about the hail", "blog post"),
    ("Gloves and socks in next post", "in next post"),
    ("The film of the hut is now on YouTube", "now on youtube"),
    ("Over fifty maps are up on the @hut.inc website", "on the @hut.inc website"),
    ("Frozen berries from our latest blogpost", "blogpost"),
    ("Tune into the hut radio", "tune into"),
    ("Cactus\nVISIT our other magazines", "visit our other"),
    ("Get this wet look", "get this wet look"),
    ("I linked this dress for you", "linked this"),
    ("All about the week in the hut (blog)", "blog"),
    # be my audience
    ("Choose the right boots! Check @hut.inc out", "check @hut.inc out"),
    ("Rate these socks with emojis", "rate these socks with emojis"),
    ("Share your plans for the rain below", "share your plans for the rain below"),
    ("Comment what you cook in the rain", "comment what"),
    ('Comment "yes" for more hail', 'comment "'),
    ("New faces wanted. Comment, PM or shout", "comment, pm"),
    ("Rate this tent from 1-10", "rate this tent from 1-10"),
    ("Soup ideas? Leave 'em all below", "leave 'em all below"),
    ("FAN VOTE: tent or hut", "fan vote"),
    ("Go and give the hut some love and a follow", "and a follow"),
    ("Give them some love, they cook well", "give them some love"),
    ("Follow their walk over the pass", "follow their"),
    ("Go vegan and follow him now", "follow him now"),
    # win or buy something
    ("Tag the hut for a chance of feature", "chance of feature"),
    ("A steel pot. Retail price on request", "retail price"),
    ("Pick yours up before the snow", "pick yours up"),
    ("Shop warm socks today", "shop warm socks today"),
    ("These socks are available in grey", "available in"),
    ("Every tent is an add-on. Available.", "available."),
    ("The stands will be available this summer", "will be available"),
    ("Our customers like it dry", "our customers"),
    ("A picture from our campaign in the snow", "our campaign"),
    ("Complete your wet look with a hat", "complete your wet look"),
    ("Now at your local boot dealer", "your local boot dealer"),
    ("Now in stock", "in stock"),
    ("The wool hat is back and ready to be yours", "ready to be yours"),
    # write to me
    ("We are hiring a cook for the hut", "are hiring"),
    ("Few seats in the van, hit me up for one", "hit me up for"),
    ("Send us a message from the pass", "send us a message"),
    ("Who wants to book me for the hut party", "book me"),
    # something is out, or will be
    ("We are proud to announce a second stove", "to announce"),
    ("New content coming with the snow", "content coming"),
    ("The second map is out today", "is out today"),
    ("Dates of my upcoming workshop", "upcoming workshop"),
    ("Soup from our new wild mountain cookbook", "our new wild mountain cookbook"),
    ("We are launching a whole new line of pots", "launching a whole new"),
    ("Watch me live on the wall", "watch me live"),
    ("I'm drawing maps, so watch this space", "watch this space"),
    ("Song of the hut coming soon!", "coming soon"),
    ("Soup from my second book", "my second book"),
    ("Applications for a place in the hut are open", "applications for"),
    # an event
    ("Class in the hut, $35 cash", "$35 cash"),
    ("Come watch us play in the tent", "come watch"),
    ("Now booking walks for May", "now booking"),
    ("Join us as we explore the cave", "join us as"),
    ("Join the fastest growing club of cooks", "join the fastest"),
    ("The talk is free and open to the public", "free and open to the public"),
    ("Catch their tour bus in the valley", "catch their tour"),
    # it was paid for
    ("A paid partnership of soup and bread", "paid partnership"),
    ("We can't wait. Sign up to take part in the clean-up", "sign up to take part"),
    ("Find a link my bio", "link my bio"),
    ("Our shop is open", "shop is open"),
    ("Swipe to watch the otter", "swipe to watch"),
    ("A sneak peek of our new tent", "sneak peek of our"),
]

HONEST = [
    "The sun is out today and so are we",
    "Things that excite you are not random. Follow them",
    "Please come back, we miss you",
    "The first stories of my grandmother are about snow",
    "She asked him to pick it up and he did",
    "Penguins feed when it drops to 40 degrees below",
    "Keep an eye out for bears",
    "Oracle makes mobility available for all",
    "Swipe for the second marmot",
    "Our tent, our stove, our rain",
    "Here's the thing about hail",
    "We read the map, then we read the sky",
    "Join a marmot for lunch",
    "Join the club, said the wet dog",
    "Our book club hiked instead of reading",
    "Our shirt game is strong today",
    "The road opens Friday and I can't wait",
    "The park is open to the public again",
    "Come find me in the mountains",
    "Come watch the sunset with me",
    "Our new album of photos sits on the shelf",
    "Read the story of this rock in its layers",
    "See more in an hour here than in a week at home",
    "The full story involves a goat",
    "Doors open, heater on, dog asleep",
    "We are launching a paper boat on the lake",
    "Please share your snacks with the marmots",
    "Send this to my mom: I am warm",
    "To win a race against hail you need better shoes",
    "In stock pot number three: elk stew",
    "I got to follow him for a week",
    "Winter is coming soon",
    "To see more you have to climb",
    "Follow the path to the lake",
    "Check out of the hut by ten",
    "A full bottle is a heavy bottle",
    "The road is now open",
    "The campsite is open and sold out",
    "New colors in the sky tonight",
    "A must see, they must have been told",
    "You can see it from the pass",
    "On YouTube they make it look easy",
]


@pytest.mark.parametrize(("text", "words"), ADVERTISES)
def test_an_advertisement_is_recognised_by_its_words(text: str, words: str) -> None:
    assert promotion.advertised(text).startswith(words)


@pytest.mark.parametrize("text", HONEST)
def test_an_honest_sentence_does_not_advertise(text: str) -> None:
    assert promotion.advertised(text) == ""


@pytest.mark.parametrize("text", ["Warm boots #ad", "Warm boots #gifted", "In collaboration with the hut", "/ad Warm boots"])
def test_a_paid_post_is_recognised_by_its_mark(text: str) -> None:
    assert promotion.disclosure(text)


@pytest.mark.parametrize("text", ["Warm boots #adventure", "In partnership we trust", "Read/add to it"])
def test_a_word_that_looks_like_a_mark_is_not_one(text: str) -> None:
    assert promotion.disclosure(text) == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The new app of the studio, on their channel", "app, channel"),
        ("My favorite app for maps", ""),
        ("We read the whole magazine, watched one episode and " + "slept and ate and " * 12, ""),
        ("A magazine, an episode, a podcast and " + "we slept and ate and " * 12, "episode, magazine, podcast"),
    ],
)
def test_several_words_of_trade_advertise(text: str, words: str) -> None:
    assert promotion.trades(language.words_of(text)) == words
