"""rules: a table of captions and what becomes of each, over all rules."""

from __future__ import annotations

import pytest

from hugging_captions import verdicts
from hugging_captions.options import CleanOptions
from hugging_captions.posts import Post

OPTIONS = CleanOptions()


def _post(caption: str | None, likes: int | None = 50) -> Post:
    return Post("x", caption, likes, None, "rmnp", "test")


KEPT = [
    # encoding
    ("We donâ€™t talk about the hail", "We don’t talk about the hail"),
    ("The cafÃ© at the pass is open", "The café at the pass is open"),
    ("Love this lake <U+1F5A4> so much", "Love this lake 🖤 so much"),
    ("Tea &amp; toast &lt;3 for breakfast", "Tea & toast <3 for breakfast"),
    ("She said “go” and we went", "She said “go” and we went"),
    # characters
    ("Cafe\u0301 with the whole family", "Café with the whole family"),
    ("one\u00a0two\u2003three four", "one two three four"),
    ("zero\u200bwidth and \u2060joiner here", "zerowidth and joiner here"),
    ("first line\r\nsecond line\rthird line", "first line\nsecond line\nthird line"),
    ("a line\u2028another good line", "a line\nanother good line"),
    ("𝓖𝓸𝓸𝓭 morning from the valley", "Good morning from the valley"),
    ("\u202eleft to right\u202c we go now", "left to right we go now"),
    ("Our whole family 👨‍👩‍👧‍👦 made it up", "Our whole family 👨‍👩‍👧‍👦 made it up"),
    ("Bell\x07 and escape\x1b[31m are gone", "Bell and escape[31m are gone"),
    # separators
    ("Up at four for this\n.\n.\n.\nWorth it", "Up at four for this\n\nWorth it"),
    ("Cold hands, warm pie\n⠀\n⠀\n- - -\n•\nThe end", "Cold hands, warm pie\n\nThe end"),
    # tags
    ("Snow in June again #rmnp #snow #june", "Snow in June again"),
    ("Snow in June again\n.\n.\n#rmnp#snow#june", "Snow in June again"),
    ("This #elk did not care about us", "This elk did not care about us"),
    ("We love the #rockies", "We love the rockies"),
    ("What a day up here #rmnp", "What a day up here"),
    ("What a day up here #rmnp 🏔️", "What a day up here 🏔️"),
    ("#rmnp #colorado\nThe lake froze last night", "The lake froze last night"),
    ("Two moose at dawn • #rmnp • #moose •", "Two moose at dawn"),
    ("Pie for breakfast #rmnp @a.baker #pie #estes", "Pie for breakfast"),
    ("See you at #estes_park tomorrow morning", "See you at estes park tomorrow morning"),
    # credits
    ("The light was unreal today\n📷: @some.body", "The light was unreal today"),
    ("The light was unreal today\nPhoto by @some.body", "The light was unreal today"),
    ("Repost from @some.body\nThe light was unreal today", "The light was unreal today"),
    # privacy
    ("We went hiking with @a.friend and @another today", "We went hiking today"),
    ("Thanks @someone for the loan of the skis", "Thanks for the loan of the skis"),
    ("@someone fell in the creek, again", "A friend fell in the creek, again"),
    ("Waiting for @someone who is always late", "Waiting for a friend who is always late"),
    ("The cats in @someone's kitchen are fat", "The cats in a friend's kitchen are fat"),
    ("The best burger ever at the @burger.place!", "The best burger ever!"),
    ("The whole story is told at https://example.com/story here", "The whole story is told here"),
    ("On 2019-07-14 we saw 1,200 elk", "On 2019-07-14 we saw 1,200 elk"),
    ("Longs Peak is 14,259 feet high, 4346 m", "Longs Peak is 14,259 feet high, 4346 m"),
    # runs
    ("No way!!!!!!!! That is a bear", "No way!!! That is a bear"),
    ("So happy today 😍😍😍😍😍😍", "So happy today 😍😍😍"),
    # nothing to mend
    ("Order in the borderlands of the code", "Order in the borderlands of the code"),
    ("The following morning we shopped for socks", "The following morning we shopped for socks"),
    # encoding, more of it
    ("Itâ€™s only a creek until you fall in", "It’s only a creek until you fall in"),
    ("SeÃ±or marmot wants the whole sandwich", "Señor marmot wants the whole sandwich"),
    ("He said &quot;left&quot; and we went right", 'He said "left" and we went right'),
    ("Snow &gt; rain, every single time", "Snow > rain, every single time"),
    ("Two degrees&nbsp;and falling, gloves on", "Two degrees and falling, gloves on"),
    ("First tracks <U+2744> of the long winter", "First tracks ❄ of the long winter"),
    # characters, more of them
    ("𝙁𝙧𝙚𝙨𝙝 bread from the camp stove", "Fresh bread from the camp stove"),
    ("𝟐𝟎 miles and one blister", "20 miles and one blister"),
    ("The trail is \ufeffopen again, go now", "The trail is open again, go now"),
    ("soft\u00adhyphen in the middle of it", "softhyphen in the middle of it"),
    ("tabs\tand   many    spaces all over", "tabs and many spaces all over"),
    ("A flag 🏴󠁧󠁢󠁳󠁣󠁴󠁿 on the summit, and wind", "A flag 🏴󠁧󠁢󠁳󠁣󠁴󠁿 on the summit, and wind"),
    ("Old heart ❤️ same old mountain", "Old heart ❤️ same old mountain"),
    # separators, more of them
    ("Eight hours up\n~~~~~\nThree hours down", "Eight hours up\n\nThree hours down"),
    ("Eight hours up\n_____\n.\nThree hours down", "Eight hours up\n\nThree hours down"),
    ("We saw it all...\nand then some more", "We saw it all...\nand then some more"),
    ("Eight hours up\n\n\n\n\nThree hours down", "Eight hours up\n\nThree hours down"),
    # tags, more of them
    ("Up before the birds\n#hiking\n#dawn\n#coffee", "Up before the birds"),
    ("Up before the birds #hiking, #dawn, #coffee", "Up before the birds"),
    ("Up before the birds . . . #hiking #dawn", "Up before the birds"),
    ("Up before the birds , said nobody , ever . So what !", "Up before the birds, said nobody, ever. So what!"),
    ("#dawn #hiking #coffee Up before the birds", "Up before the birds"),
    ("Up before the birds ☕️ #hiking 🥾 #dawn 🌄", "Up before the birds ☕️ 🌄"),
    ("Camp by the #BigThompson river again", "Camp by the Big Thompson river again"),
    ("The #elk and the #marmot share a lunch", "The elk and the marmot share a lunch"),
    ("Back on the #TrailRidgeRoad", "Back on the Trail Ridge Road"),
    ("We are so #blessed today, says grandma", "We are so blessed today, says grandma"),
    ("Portrait flashback today #✨ #🌵", "Portrait flashback today ✨ 🌵"),
    ("The mosque is a landmark\n\n#", "The mosque is a landmark"),
    ("Welcome home !! We missed you ?", "Welcome home!! We missed you?"),
    ("No tags here, only number 7 of 12", "No tags here, only number 7 of 12"),
    ("Rated # 1 by the whole family of bears", "Rated # 1 by the whole family of bears"),
    ("A long walk home. Missing my #a #b #c #d", "A long walk home."),
    # credits, more of them
    ("The light was unreal today\n📸 @some.body", "The light was unreal today"),
    ("The light was unreal today 📷 by @some.body", "The light was unreal today"),
    ("The light was unreal today (photo: @some.body)", "The light was unreal today"),
    ("The light was unreal today\nCredit: @some.body and @another", "The light was unreal today"),
    ("The light was unreal today\n#repost @some.body", "The light was unreal today"),
    ("The light was unreal today\n🎥 @some.body", "The light was unreal today"),
    ("Photo by Ansel Example | The light was unreal today", "The light was unreal today"),
    ("The light was unreal today\nHair by @some.body", "The light was unreal today"),
    ("What a wedding we had\nPlanner: @one | Florist: @two | Cake: @three", "What a wedding we had"),
    ("My photo of the lake won a ribbon", "My photo of the lake won a ribbon"),
    ("Credit goes to the dog for this one", "Credit goes to the dog for this one"),
    # handles, more of them
    ("Sunrise on the ridge with @a.friend, @b.friend and @c_friend", "Sunrise on the ridge"),
    ("Dinner at @some.place with the whole family", "Dinner with the whole family"),
    ("Best day ever with my sister @her.name!", "Best day ever with my sister!"),
    ("Happy birthday @someone! You are the best", "Happy birthday! You are the best"),
    ("@someone is the best tent mate there is", "A friend is the best tent mate there is"),
    ("@someone and I walked all the way", "A friend and I walked all the way"),
    ("We walked far. @brand boots are so light", "We walked far."),
    ("We walked far. The crew over at @brand asked me why", "We walked far."),
    ("We walked far. My jacket is from @brand", "We walked far."),
    ("My most profound joy.@someone", "My most profound joy."),
    ("We walked far. @brand's Summer Boots held", "We walked far."),
    ("Waiting pose today 💙 dress: @someone", "Waiting pose today 💙"),
    ("So did @someone and one grey jay", "So did a friend and one grey jay"),
    ("Miss you @someone, come back to the hills", "Miss you, come back to the hills"),
    ("Cooked over a fire by @some.chef", "Cooked over a fire"),
    ("This is @someone's favourite bench", "This is a friend's favourite bench"),
    # addresses, more of them
    ("Six eggs, one pan. Write me at somebody@example.com for the recipe", "Six eggs, one pan."),
    ("Six eggs, one pan. Call 970-555-0134 or just come over", "Six eggs, one pan."),
    ("Six eggs, one pan. +1 (970) 555 0134", "Six eggs, one pan."),
    ("More of the story on www.example.com/eggs", "More of the story"),
    ("More at example.org. Six eggs, one pan and no plate", "Six eggs, one pan and no plate"),
    ("Room 204, 3 nights, 12 miles, 1,900 ft", "Room 204, 3 nights, 12 miles, 1,900 ft"),
    ("Since 1915. Open 9-5 all summer", "Since 1915. Open 9-5 all summer"),
    ("We met at 5:30 on 07/14/2019 in the rain", "We met at 5:30 on 07/14/2019 in the rain"),
    # runs, more of them
    ("Whyyyy is it snowing in June??????", "Whyyyy is it snowing in June???"),
    ("Wait....... is that a moose", "Wait... is that a moose"),
    ("So cold ❄️❄️❄️❄️❄️ and so worth it", "So cold ❄️❄️❄️ and so worth it"),
    ("Two of us 🥾🥾 and the dog", "Two of us 🥾🥾 and the dog"),
    # words that look like advertising and are not
    ("We won the quiet campsite today", "We won the quiet campsite today"),
    ("The store was closed so we ate snow", "The store was closed so we ate snow"),
    ("The dog follows me to the end of the earth", "The dog follows me to the end of the earth"),
    ("Free as a bird up on the ridge", "Free as a bird up on the ridge"),
    ("A bookshelf made of driftwood, at last", "A bookshelf made of driftwood, at last"),
    ("Sale or not, nobody needs a third tent", "Sale or not, nobody needs a third tent"),
    ("The biography of this mountain is long", "The biography of this mountain is long"),
]


@pytest.mark.parametrize(("caption", "clean"), KEPT)
def test_a_caption_is_mended(caption: str, clean: str) -> None:
    verdict = verdicts.examine(_post(caption), CleanOptions(language="any"))
    assert (verdict.text, verdict.reason) == (clean, "")


DROPPED = [
    (None, 50, "no-caption"),
    ("   \n ", 50, "no-caption"),
    ("A perfectly good caption", 9, "too-few-likes"),
    ("#rmnp #colorado 🏔️", 50, "no-text"),
    ("🏔️🏔️", 50, "no-text"),
    ("📷: @some.body", 50, "no-text"),
    ("Two words", 50, "too-few-words"),
    ("Hoy nevó en pleno junio sobre la carretera y todos salimos a bailar", 50, "language"),
    ("今朝の湖はとても静かで、雪が少し残っていました", 50, "language"),
    ("New prints of the peaks! Link in bio", 50, "promotion"),
    ("GIVEAWAY: win a weekend in the cabin", 50, "promotion"),
    ("Use code PEAK20 for 20% off our hats", 50, "promotion"),
    ("Order now while stock lasts, mountain mugs", 50, "promotion"),
    ("Follow for follow, I always answer", 50, "promotion"),
    ("Tag a friend to win two tickets up the tram", 50, "promotion"),
    ("DM to order your own moose hoodie", 50, "promotion"),
    ("The wind was loud and we were small. " * 65, 50, "too-long"),
    ("An eagle over the lake\n\nPrints available in my bio", 50, "promotion"),
    ("New boots, love them so much #ad #boots", 50, "promotion"),
    ("New boots, love them so much #sponsored", 50, "promotion"),
    ("Sponsored post: these boots are made of sky", 50, "promotion"),
    ("Enter our photo contest before Sunday", 50, "promotion"),
    ("Tag a friend who needs this view", 50, "promotion"),
    ("Tag us to be featured on this page", 50, "promotion"),
    ("Comment below with your favourite peak", 50, "promotion"),
    ("Mountain mugs for only $12 each", 50, "promotion"),
    ("Free shipping on all hats until Friday", 50, "promotion"),
    ("Our new map is now available in the shop", 50, "promotion"),
    ("Tickets on sale at the visitor center", 50, "promotion"),
    ("New video is up, a week in the snow", 50, "promotion"),
    ("Subscribe for more views like this one", 50, "promotion"),
    ("Follow us for more views like this one", 50, "promotion"),
    ("Swipe up to see the whole hike", 50, "promotion"),
    ("Double tap if you would camp here", 50, "promotion"),
    ("Shop the look before it melts", 50, "promotion"),
    ("Pre-order the calendar, it has twelve elk", 50, "promotion"),
    ("👻 snapchat: some.body for more of this", 50, "promotion"),
    ("Message me to book a sunrise ride", 50, "promotion"),
    ("Like for like and follow back, always", 50, "promotion"),
    ("@some.body @another", 50, "no-text"),
    ("https://example.com/a", 50, "no-text"),
    ("somebody@example.com", 50, "no-text"),
    ("12345 678", 50, "no-text"),
    ("My boots are from @brand", 50, "no-text"),
    ("Der See war heute Morgen ganz still und wir auch", 50, "language"),
    ("Le lac était très calme ce matin et nous aussi", 50, "language"),
    ("Сегодня утром озеро было очень тихим", 50, "language"),
    ("The lake was still this morning 🌄 El lago estaba muy tranquilo esta mañana", 50, "language"),
    ("The lake was still this morning\n今朝の湖はとても静か", 50, "language"),
    ("Wow", 50, "language"),
    ("Grand opening of #a 🎉 of", 50, "unfinished"),
    ("Wearing my favourite boots:\n#boots #ootd", 50, "unfinished"),
    ("DM 📥 me for recipes and more", 50, "promotion"),
    ("Email us about the barn doors", 50, "promotion"),
    ("Good morning", 50, "too-few-words"),
    ("No no!!! 😍😍😍", 50, "language"),
]


@pytest.mark.parametrize(("caption", "likes", "reason"), DROPPED)
def test_a_post_is_charged_to_the_first_rule_that_it_fails(caption: str | None, likes: int, reason: str) -> None:
    assert verdicts.examine(_post(caption, likes), OPTIONS).reason == reason
