"""Texts on which tokenizers differ: scripts, marks, digits, white space, contractions, and what looks like a token."""

import random
import sys
import unicodedata
from collections.abc import Iterator

_SPACES = "".join(map(chr, [*range(9, 14), *range(28, 33), 0x85, 0xA0, 0x1680, *range(0x2000, 0x2010), 0x2028, 0x2029]))
_SPACES += "\u202f\u205f\u3000\u200b\ufeff"
_CONTRACTIONS = ["'s", "'S", "'t", "'T", "'re", "'Re", "'rE", "'RE", "'ve", "'VE", "'m", "'M", "'ll", "'LL", "'d", "'D"]

HANDWRITTEN: list[str] = [
    # words and contractions
    "Hello, world!", "hello", " hello", "  hello", "hello ", "HELLO wOrLd",
    "I'm you're he's we've they'll she'd don't", "I'M YOU'RE HE'S WE'VE THEY'LL SHE'D DON'T",
    "I'm You'Re hE'S", "'s", "''s", "x's's's", "it's 'tis 'Twas y'all'd've", "it’s", "’s", "'ſ 'ſt",
    "O'Neill's", "'", "''", "'l", "'r", "'v e", "a'b", "1's", " 's", "\n's", "'Sx", "'\u017f",
    *(f"word{c} {c}{c}" for c in _CONTRACTIONS),
    # digits
    "0", "7", "42", "123", "1234", "12345", "123456", "1234567", "1" * 20, "3.14159", "1,000,000",
    "a1b22c333d4444", "2025-11-22T20:39:41Z", "192.168.0.1", "0x7fFF", "1e-9", " 1", "  12", "x 1 2 3",
    "٣٤٥٦", "१२३४", "①②③", "½¼¾", "Ⅷ ⅻ", "x²y³", "𝟘𝟙𝟚", "１２３４", "〇一二三", "10٪", "1٬000",
    "$1,234.56", "-5", "1st 2nd 3rd", "３3３",
    # white space and line ends
    " ", "  ", "   ", "    ", "\t", "\t\t", " \t ", "\n", "\n\n", "\n\n\n", "\r\n", "\r\n\r\n", "\r",
    "\n\r", " \n", "\n ", " \n ", "  \n  ", "\n\t\n", "a\n", "a\n\nb", "a \n b", "a  \n\n  b",
    "a\r\nb\r\n", "x\t\ty", "a   b", "a    ", "\n    indented\n        more\n",
    "tab\tsep\tvalues\n1\t2\t3\n", "!\n", "!\n\n", "!\r\n!", "?  \n", "...\n\n...", "\v\f", "a\u00a0b",
    "\u00a0\u00a0", "\u3000全角\u3000空格", "a\u2028b\u2029c", "\u2003em\u2003",
    "\u200bzero\u200bwidth", "\ufeffbom", "a\u0085b", "\u1680ogham", " \u00a0 \u3000 ",
    "\u2009\u2009x", "a\x1cb\x1db\x1eb\x1f", " " * 17 + "x", " " * 100, "\n" * 33, "\t" * 12 + "if",
    "trailing   \n", "a \t\n \tb", "\u202f1\u202f000",
    # control characters
    "\x00", "a\x00b", "\x01\x02\x03\x04\x05\x06\x07", "\x08\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17",
    "\x18\x19\x1a\x1b[0m", "\x7f", "a\x04b", "x\x13\x14y", "\x80\x81\x9f", "\x06 \x16\n\x1d",
    "tok\x04en", "\x04 \x04x", "\u200e\u200f\u202a\u202e",
    # scripts
    "ÀÉÎÕÜ àéîõü ßẞ", "naïve café œuvre", "e\u0301 n\u0303 a\u030a",
    "Z\u0351\u036b\u0343a\u0328l\u0321go\u0321\u0322", "Ελληνικά ΑΒΓ", "Привет, мир! Ёё", "שלום עולם",
    "שָׁלוֹם", "مرحبا بالعالم", "مُحَمَّد ١٢٣", "सन्देश हिन्दी", "ตัวอย่างภาษาไทย",
    "한국어 조선말 ㅋㅋㅋ", "日本語のテキスト、カタカナ。", "中文测试，标点符号！", "繁體中文「引號」",
    "Tiếng Việt có dấu", "ქართული Ქართული", "አማርኛ", "ខ្មែរ", "မြန်မာ", "தமிழ்", "ᏣᎳᎩ ꭰ", "ǅ ǈ ǋ",
    "ﬁ ﬂ ﬃ", "İstanbul ıI", "ŉ ǰ", "K Å Ω", "ªº", "ʰʱʲ", "ﷺ", "𐐷𐐨", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "𠮷野家 𪚥", "𞤀𞤁𞤂",
    "𒀀𒁀", "𓀀𓂀",
    # signs and emoji
    "😀", "😀😃", "a😀b", "👨‍👩‍👧‍👦", "👩🏽‍💻", "🏳️‍🌈", "🇩🇪🇫🇷", "❤️", "1️⃣2️⃣", "☺︎", "🫠🪿🫨",
    "🧑‍🧑‍🧒‍🧒", "™©®", "←↑→↓ ⇒", "∀x∈ℝ: x²≥0", "€£¥₹₿", "“quotes” ‘single’ „low“ «angle»",
    "— – ‐ … ·", "!!!???", "#!/bin/sh", "==>", "a+=b;", "/* c */ // d", "{}[]()<>", "\\n\\t",
    "~`@#$%^&*_-+=|", "<!-- x -->", "foo_bar-baz.qux", "http://a.b/c?d=e&f=g#h", "user@example.org",
    "C++ & C#", "::=>><<", " !", "  !", " !a", "!a", "'a", '"a"', "(a", "_a", "_1", "-a", "\ta",
    "\u00a0a", "#a1", "\u0301a", "\u0301", "a\u0301b",
    # planes and code points that few fonts have
    "\U0001f9ff\U000e0041\U000e007f", "\ue000\uf8ff", "\U000f0000\U0010fffd", "\ufffd", "\ufffe\uffff",
    "\ufdd0", "\U0001ffff", "\u0378\u0379", "\U00030000\U0003134a", "\U0002ebf0", "\U000323b0",
    "\U0001e900", "\U00016d40\U00016d70 x", "\u1c89\u1c8a", "\U00011bc0 \U00011bf0", "\ua7cb1\ua7cd",
    "\U000105c0\U000105f3", "\U00013460", "\U00016100\U00016130", "\U0001e5d0\U0001e5f1",
    "\U0001ccf0\U0001ccf9", "\U000116d0", "\U00010d40\U00010d4a",
    # code
    "def f(x):\n    return x**2  # square\n", 'for (int i=0;i<10;++i) {\n\tprintf("%d\\n", i);\n}',
    "if x:\n\n\n    y()\n\n", "SELECT * FROM t WHERE a='b' AND c<>1;",
    '{"key": [1, 2.5, null, true], "k2": "v\\u00e9"}', "λx.x", "x=1;y=22;z=333",
    # what looks like a token
    "<|im_start|>", "<|im_end|>", "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "a<|endoftext|>b", " <|im_end|> ", "<|im_end|><|im_end|>", "<|im_start|", "<|<|im_end|>|>",
    "<|im_<|im_start|>start|>", "<tool_call>{}</tool_call>", "</s>", "<s>",
    "<|fim_prefix|>a<|fim_suffix|>b<|fim_middle|>", "<repo_name>x<file_sep>y", "<reponame><filename>",
    "[PAD151665]", "<|eot_id|>", "<|IM_END|>", "< |im_end|>", "<｜im_end｜>",
    "<jupyter_code>1+1<jupyter_output>2<empty_output>", "Ġhello", "ĊĊ", "<0x0A>",
]  # fmt: skip


def _alphabets() -> list[str]:
    """Groups of characters; a text mixes a few of them."""
    ranges = [
        (0x20, 0x7E), (0x20, 0x7E), (0x00, 0x1F), (0x80, 0xFF), (0x100, 0x24F), (0x250, 0x36F), (0x370, 0x3FF),
        (0x400, 0x52F), (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F), (0xE00, 0xE7F), (0x1000, 0x109F),
        (0x1100, 0x11FF), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x2070, 0x218F), (0x2190, 0x2BFF), (0x3000, 0x30FF),
        (0x4E00, 0x4FFF), (0xA640, 0xA7FF), (0xAC00, 0xACFF), (0xFB00, 0xFDFF), (0xFE00, 0xFFFF), (0x10000, 0x10FFF),
        (0x11000, 0x11FFF), (0x16100, 0x16FFF), (0x1D400, 0x1D7FF), (0x1E000, 0x1E9FF), (0x1F1E6, 0x1F1FF),
        (0x1F300, 0x1FAFF), (0x20000, 0x20100), (0x2EBF0, 0x2EE5D), (0xE0000, 0xE01FF),
    ]  # fmt: skip
    groups = ["".join(map(chr, range(first, last + 1))) for first, last in ranges]
    return [*groups, _SPACES, " \t\r\n", "\n", " ", "0123456789", "'sStTmMdDrReEvVlL", "\u200d\ufe0f\u20e3\u0301"]


def invented(count: int, seed: int = 0) -> list[str]:
    """Random mixtures of alphabets, with contractions and token look-alikes thrown in; the same for each seed."""
    rng = random.Random(seed)  # noqa: S311 — repeatable, not secret
    alphabets = _alphabets()
    extras = [*_CONTRACTIONS, "<|im_end|>", "<|im_start|>", "<tool_call>", "  ", "\n\n", "\r\n", " the", "ing", "123"]
    texts = []
    for _ in range(count):
        chosen = rng.sample(alphabets, rng.randint(1, 3))
        parts = [
            rng.choice(extras)
            if rng.random() < 0.1
            else rng.choice(rng.choice(chosen)) * rng.choice((1, 1, 1, 1, 2, 5))
            for _ in range(rng.randint(1, 60))
        ]
        text = "".join(parts)
        texts.append(unicodedata.normalize("NFD", text) if rng.random() < 0.25 else text)
    return texts


def every_code_point() -> Iterator[str]:
    """Each code point, 64 to a text, where its class matters: beside letters, digits, spaces, signs and itself."""
    codes = [code for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    for start in range(0, len(codes), 64):
        characters = map(chr, codes[start : start + 64])
        yield "".join(f"a{each}1{each}{each} {each}b!{each}\n" for each in characters)
