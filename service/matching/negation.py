"""Which words of a text are negated: "belt without buckle", "non slip mat", "sugar free", "不含糖".

What each cue governs:
- "without", "w/o", "free of", "free from", "not": the words up to the end of the clause. A clause ends at a comma or
  another mark, at a conjunction or preposition ("and", "but", "with", "for", ...), at another cue, before a number that
  other words part from the cue, before a colour, people or a letter size that is not its first word, and after
  `MOST_WORDS` words. "or" and "nor" do not end it, nor do commas before an "or". None governs anything before a pronoun
  and the like ("not your phone", "not only"), nor "not" and "no" after an auxiliary: slogans and titles ("do not
  disturb"), but not "shoes that are not red" or "that aren't red". "except", "excluding", "neither", "anything but",
  "any color but", "other than" and "don't want" do as well.
- "no": the same where words stand before it in its clause ("dress no sleeves"), else the next word alone ("no drill
  grab bars"); nothing before a number ("no 10 nail brush").
- "non": the next word, also where it is joined to it, for words that are joined in practice ("nonstick").
- "X-free": the word before; "X free", unhyphenated, only for what is usually left out (`LEFT_OUT`), since "free" has
  other meanings ("kindle books free").
- 不含, 不带, 不是, 没有, 除了 and the like: up to 的, a conjunction or the end of the Chinese characters, eight at
  most. 无, 免, 非, 不: two, for there are no spaces to tell where a word ends; one before a colour (无领白色) and
  where it is a word of `WORDS_OF_ONE`. Or one Latin word.

Names that only look like negations ("no show socks", "hands free", 无线, 不锈钢) are listed by hand.

Knows: the cues, their scope, the exceptions. Does not know: attributes, products, what to do about it.
"""

import re
from bisect import bisect
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

from service.matching.colors import colors_at, read_colors
from service.matching.fitting import read_fits
from service.matching.wording import MOST_CHARACTERS, UNSPACED, listed, words

Span = tuple[int, int]
"""(start, end) in Unicode code points, the end exclusive."""

MOST_WORDS = 5

ASIDE = re.compile(
    r"(?:\b(?:(?P<apart>except(?: for)?|excluding|neither|any(?:thing| \w+) but|other than"
    r"|(?:that|which) (?:is|are)(?: not|n['’]t))"
    r"|without|w/o|with no|no|not|free (?:of|from)"
    r"|(?:i )?do(?:es)?(?:n['’]t| not) (?:want|need|like|have|include|contain))"
    r"(?:\s+(?:an?|any|the))*"
    r"|(?P<han_apart>不是|除了)|不含|不带|不帶|不要|没有|沒有|无|無)\s*$",
    re.IGNORECASE,
)
"""Cues that set what they negate aside from the rest; "non-slip" and "sugar free" name a kind of their own. Those that
are `apart` belong to the sentence alone, and before them stands what the negated is one of ("colour other than red").
"""

LONGEST_CUE = 60

LESS = re.compile(r"\b(?!stain|un)([^\W\d_]{3,40})less\b", re.IGNORECASE)
"""Words that deny what they begin with: "sleeveless", "wireless"."""

GOVERNING = frozenset({"except", "excluding", "free", "neither", "no", "non", "not", "w/o", "without"})
OF_TWO_WORDS = frozenset({("anything", "but"), ("other", "than")})
WANTING = listed("contain have include like need want")
"""Verbs that a negated auxiliary leaves negated: "I don't want red"."""
HAN = r"\u3400-\u9fff"
JOINING = frozenset({"&", "and", "nor", "or"})
LINK_OF_THINGS = re.compile(r"\s*,\s*(?:(?:or|nor)\s+)?|\s+(?:or|nor)\s+|[、或](?=.)", re.IGNORECASE)
THING = re.compile(rf"[a-z]+(?:[ -][a-z]+)?(?=\s*(?:,|$|\s(?:or|nor)\s))|[{HAN}]{{1,4}}(?=[、或的]|$)", re.IGNORECASE)
LINK = re.compile(r"\s*(?:,\s*)?(?:and|or|nor|&)\s+|\s*[,、/和或与及]\s*", re.IGNORECASE)
"""Between the colours of a list; `LINK_OF_THINGS` is between others, of which `THING` is one."""
RELATIVES = frozenset({"that", "which"})
COPULAS = frozenset({"is", "are"})
CUES = listed("anything but except excluding free from neither no non not o of other than w without") | {
    *"不無无免非没未有含带帶要是需用添加支持除了"
}
"""Words that a negation is made of; beside negated words they say nothing themselves."""

FIXED = re.compile(
    r"\b(?:bite not|duty[ -]free|hands[ -]free|no[ -]fear|no[ -]show|no[ -]see|no name"
    r"|no[- ]brainer|no (?:matter|longer|need|one|other|problem|questions?|worr(?:y|ies))"
    r"|(?:no|not) (?:more|less|fewer|later|over|under) than|not (?:over|under|more|less)\b|region[ -]free|worry[ -]free"
    r"|hassle[ -]free|risk[ -]free|without (?:borders|fail|you|me|us|end|prejudice))\b"
    r"|不锈|无线(?!圈)|無線|无色|无人机|无人驾驶|無印|无印|无限|無限|无敌|无极|无忌|无源|无花果|无障碍|无患子|非洲|[东西南北中]非"
    r"|是不是|非常|免费|免費|免疫|避免|不同|不透明|不倒翁|不求人|不错|不适用|不可|不足|不(?:超过|少于|低于|高于|大于|小于|多于)",
    re.IGNORECASE,
)

AUXILIARIES = listed(
    "am are be been being can cannot could did do does had has have he he's i'm if is it it's its may might must"
    " shall should that's was were what who why will would"
)
AFTER_SLOGANS = listed(
    "all always be enough every everyone her his it it's just me my only our quite so that their them there this to"
    " today we what who you your yours"
)
ENDS = listed(
    "& and at because but by for from in into needed on pack plus required set size that then to under which while"
    " with within without"
)
ARTICLES = frozenset({"a", "an", "any", "the"})

JOINED = re.compile(
    r"\bnon(?P<word>adhesive|alcoholic|dairy|fat|flammable|gmo|greasy|iron|padded|scratch|skid|slip|stick|toxic|woven)\b",
    re.IGNORECASE,
)

LEFT_OUT = listed(
    "acid alcohol allergen aluminum ammonia bleach bpa caffeine carcinogen cfc chemical chlorine cord corn"
    " cruelty dairy drip dust dye egg fat flavor flicker fluoride formaldehyde fragrance gelatin glare gluten"
    " gmo grain itch lactose latex lead leak lint meat metal nickel noise nut odor odour oil paraben parabens"
    " peanut peroxide pfoa phosphate phthalate plastic powder preservative preservatives pvc rawhide residue"
    " rust salt scent scratch seam silicone sls soap solvent soy stain static stimulant streak sugar sulfate"
    " sweat tag tangle tool toxin tree wheat wrinkle"
)
"""What "free" may follow without a hyphen."""

KEPT_OFF = "|".join(sorted(LEFT_OUT | listed("acne frizz fog fungal moisture skid slip theft")))
KEEPING = re.compile("anti|control|proof|resistan|防", re.IGNORECASE)
RESISTING = re.compile(
    rf"\banti(?:[ -](?P<anti>[^\W\d_]{{3,40}})|(?P<joined>{KEPT_OFF}))\b|\b(?P<controlled>{KEPT_OFF})[ -]control\b"
    r"|\b(?P<kept>[^\W\d_]{3,40}?)(?:[ -]?proof|[ -]resistan(?:t|ce))\b"
    rf"|(?<![消国预边])防(?![护守范备御])止?(?P<han>蓝光|静电|紫外线|[{HAN}])",
    re.IGNORECASE,
)
"""What keeps something off: "anti-slip", "slip resistant", "waterproof", "odor control", 防水."""

ASKING = CUES | WANTING | listed("i do doe don t is are that which it")
ANY = re.compile(r"\bany \w+", re.IGNORECASE)
AFTER_CUE = re.compile(r"^\s*(?:以外|之外)?的?")
CUE = re.compile(
    r"without|w/o|\bno|free|except|excluding|neither|\bany(?:thing| \w+) but|other than|n['’]t\b|除了|[不无無免非没未]",
    re.IGNORECASE,
)
TOKEN = re.compile(rf"w/o\b|&|[^\W_{UNSPACED}]+(?:['’][^\W_{UNSPACED}]+)*", re.IGNORECASE)
WITHIN_CLAUSE = re.compile(r"(?!.*\s[-–—]\s)[\s'\"’”“–-]*", re.DOTALL)
"""What may stand between two words of one clause: spaces, quotes, a hyphen that joins them."""

WORDS_OF_ONE = "袖领領帽糖盐鹽"
"""Characters that are whole words behind 无 and the like: what follows them is another word."""
HUES = "黑白红紅蓝藍绿綠黄黃灰粉紫棕橙"
CHINESE = re.compile(
    r"(?:不含|不带|不帶|不要|不是|不需要|不需|不用|不添加|未添加|无添加|不支持|无需|没有|未含|除了)\s?"
    rf"(?P<long>(?:(?![的和且但或与及]|以外|之外)[{HAN}]){{1,8}}|[a-z0-9]+)"
    rf"|[无無免非不]\s?(?P<short>[{WORDS_OF_ONE}]|(?!的)[{HAN}](?:(?!的|[{HUES}]|[{HAN}]色)[{HAN}])?|[a-z0-9]+)",
    re.IGNORECASE,
)


class _Token(NamedTuple):
    """A word in lower case, where it stands, and what is between it and the word before."""

    word: str
    start: int
    end: int
    gap: str

    @property
    def begins(self) -> bool:
        """Whether a clause begins here."""
        return self.start == 0 or not WITHIN_CLAUSE.fullmatch(self.gap)


def negated_spans(text: str) -> list[Span]:
    """The spans of `text` that are negated, in order, without their cues. Of a long text the beginning is read."""
    text = text[:MOST_CHARACTERS]
    if not CUE.search(text):
        return []
    fixed = [match.span() for match in FIXED.finditer(text)]
    return merged([*_latin(text, fixed), *_chinese(text, fixed)])


def asked_without(query: str) -> list[Span]:
    """The negated spans of a query, which asks for something: where all else are cues and words that name nothing, as
    colours and people, the last word is what it asks for, as in "not red or blue shirt" and "women no wire bra", or all
    behind a colour, as in "black not white running shoes".
    """
    spans = negated_spans(query)
    if len(spans) == 1 and _names_nothing(words(ANY.sub("", outside(query, spans)))):
        start, end = spans[0]
        if colored := colors_at(query[start:end]):
            return [_with_others(query, start, start + colored)]
        last = query.rfind(" ", start, end)
        return [(start, last)] if last > start else spans
    return merged([_with_others(query, *_before_wishes(query, *span)) for span in spans])


def _names_nothing(found: Sequence[str]) -> bool:
    """Whether these are words that go beside what is asked for, and none is it."""
    others = " ".join(word for word in found if word not in ASKING)
    return not others or read_colors(words(others))[1] or bool(read_fits(others))


def _before_wishes(query: str, start: int, end: int) -> Span:
    """Up to a colour, people or a size in letters that stands behind the first word and is not of a list with it: they
    are wanted in "jacket without hood black mens xl".
    """
    joined = True
    for match in TOKEN.finditer(query, start, end):
        word = match[0]
        if not joined and (colors_at(word) == len(word) or read_fits(word)):
            return start, start + len(query[start : match.start()].rstrip())
        joined = word.lower() in JOINING
    return start, end


def _with_others(query: str, start: int, end: int) -> Span:
    """What is negated with the others of its list: "not pink, purple or red", "without polyester, nylon or spandex",
    除了红色和蓝色. Things that are no colours go on only to an "or", for what stands behind an "and" may be wanted.
    """
    of_colors = colors_at(query[start:end]) == end - start
    last = end
    while link := (LINK if of_colors else LINK_OF_THINGS).match(query, last):
        length = colors_at(query[link.end() :])
        if not of_colors:
            thing = THING.match(query, link.end())
            length = 0 if length or not thing or read_fits(thing[0]) else len(thing[0])
        if not length:
            break
        last = link.end() + length
        end = end if link[0].strip() == "," else last
    return start, end


def affirmed(text: str, spans: Sequence[Span]) -> str:
    """The text without what it says that it is to be without, "" where nothing is left: "mat without cups" is "mat"."""
    kept, end = "", 0
    for start, last in spans:
        before = text[end:start]
        if cue := ASIDE.search(before):
            kept, end = f"{kept}{before[: cue.start()]} ", last
    return " ".join(AFTER_CUE.sub("", kept + text[end:]).split())


def denied_words(text: str, spans: Sequence[Span]) -> list[str]:
    """The words that a text with these negated spans denies, those of "sleeveless" and "armless" among them."""
    denied = [word for start, end in spans for word in words(text[start:end])]
    return denied + words(" ".join(LESS.findall(text))) if "less" in text.lower() else denied


def resisted_spans(text: str) -> list[Span]:
    """The spans of what a product keeps off, as far as its text says so: "slip" of "anti-slip".

    Whoever wants to be without it, wants this; but who wants "waterproof" does not want to be without water.
    """
    text = text[:MOST_CHARACTERS]
    if not KEEPING.search(text):
        return []
    return [match.span(match.lastgroup) for match in RESISTING.finditer(text) if match.lastgroup]


def outside(text: str, spans: Sequence[Span]) -> str:
    """The text without the spans."""
    bounds = [0, *(bound for span in spans for bound in span), len(text)]
    return " ".join(text[start:end] for start, end in zip(bounds[::2], bounds[1::2], strict=True))


def is_negated(spans: Sequence[Span], start: int, end: int) -> bool:
    """Whether at least half of the characters from `start` to `end` are negated."""
    covered = sum(max(0, min(end, last) - max(start, first)) for first, last in spans)
    return covered > 0 and 2 * covered >= end - start


def without_cue(text: str, spans: Sequence[Span], start: int, end: int, *, apart: bool = False) -> Span:
    """Where a value of a text with these negated spans stands, less what only negates it: "red" of "than red".

    Empty where nothing else is of it. Where only what stands `apart` counts, "no mint" is left whole.
    """
    for first, last in spans:
        if last <= start or end <= first - LONGEST_CUE:
            continue
        cue = ASIDE.search(text, max(0, first - LONGEST_CUE), first)
        if not cue or end <= cue.start():
            continue
        is_apart = bool(cue["apart"] or cue["han_apart"])
        if (apart and not is_apart) or (start < cue.start() and not is_apart) or words(text[last:end]):
            continue
        return min(max(start, first), end), min(end, last)
    return start, end


def merged(spans: Iterable[Span]) -> list[Span]:
    """The same in order, those that touch as one."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found


def _inside(start: int, fixed: Sequence[Span]) -> bool:
    """Whether one of these, which are in order and apart, has this place."""
    place = bisect(fixed, start, key=itemgetter(0))
    return place > 0 and start < fixed[place - 1][1]


def _chinese(text: str, fixed: Sequence[Span]) -> Iterator[Span]:
    for match in CHINESE.finditer(text):
        if not _inside(match.start(), fixed):
            yield match.span("long" if match["long"] else "short")


def _latin(text: str, fixed: Sequence[Span]) -> Iterator[Span]:
    tokens = _tokens(text)
    for place, token in enumerate(tokens):
        if _is_cue(tokens, place) and not _inside(token.start, fixed):
            first, last = _governed(tokens, place)
            if first < last:
                yield tokens[first].start, tokens[last - 1].end
    for match in JOINED.finditer(text):
        yield match.span("word")


def _tokens(text: str) -> list[_Token]:
    tokens, end = [], 0
    for match in TOKEN.finditer(text):
        word = match[0].lower().replace("’", "'")
        tokens.append(_Token(word, *match.span(), text[end : match.start()]))
        end = match.end()
    return tokens


def _is_cue(tokens: Sequence[_Token], place: int) -> bool:
    word, before = tokens[place].word, tokens[place - 1].word if place else ""
    any_but = word == "but" and place > 1 and tokens[place - 2].word == "any" and not tokens[place].begins
    return word in GOVERNING or word.endswith("n't") or (before, word) in OF_TWO_WORDS or any_but


def _governed(tokens: Sequence[_Token], place: int) -> Span:
    """The first and the last (exclusive) of the tokens that the one at `place` negates; an empty range for none."""
    cue = tokens[place]
    before = "" if cue.begins or place == 0 else tokens[place - 1].word
    after = tokens[place + 1].word if place + 1 < len(tokens) and not tokens[place + 1].begins else ""
    if cue.word == "free":
        if after in ("of", "from"):
            return _clause(tokens, place + 2)
        freed = before in LEFT_OUT or (cue.gap == "-" and before.isalpha())
        return (place - 1, place) if freed else (place, place)
    if after in WANTING and (cue.word == "not" or cue.word.endswith("n't")):
        return _clause(tokens, place + 2)
    related = before in RELATIVES and cue.word.removesuffix("n't") in COPULAS
    slogan = cue.word.endswith("n't") or (cue.word in ("not", "no") and _follows_auxiliary(tokens, place))
    if not after or (slogan and not related) or after in AFTER_SLOGANS or (cue.word == "no" and after[0].isdigit()):
        return place, place
    if cue.word == "non" or (cue.word == "no" and before in ("", "or", "and", "&")):
        return place + 1, place + 2
    return _clause(tokens, place + 1)


def _follows_auxiliary(tokens: Sequence[_Token], place: int) -> bool:
    """Whether an auxiliary stands before it in its clause, as in "do not disturb", but not in "that are not red"."""
    before = "" if tokens[place].begins or place == 0 else tokens[place - 1].word
    told = place > 1 and before in COPULAS and tokens[place - 2].word in RELATIVES
    return (before in AUXILIARIES or before.endswith("n't")) and not told


def _clause(tokens: Sequence[_Token], first: int) -> Span:
    """The tokens from `first` to the end of its clause; articles and what ends a clause are left off its beginning."""
    while first < len(tokens) and not tokens[first].begins and tokens[first].word in ARTICLES:
        first += 1
    last = first
    while last < len(tokens) and last < first + MOST_WORDS and not tokens[last].begins:
        word = tokens[last].word
        if word in GOVERNING or (word in ENDS and last > first) or (word[0].isdigit() and last > first):
            break
        last += 1
    while last > first and tokens[last - 1].word in ("or", "nor"):
        last -= 1
    return first, last
