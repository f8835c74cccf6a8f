#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Goldens of tests/tokenizer, from things that we did not write.

    golden_tokenizer.py ids MODEL.gguf HELPER > tests/tokenizer/data/NAME.ids
        Ids by llama.cpp (HELPER: golden_tokenizer.c built against it). One line a text:
        text in hex, TAB, ids, TAB, ids with special tokens parsed where they differ. For byte-level BPE each
        valid text is also put through the PyPI package `tokenizers`, built from the same vocabulary.
    golden_tokenizer.py words PRE > tests/tokenizer/data/PRE.words
        Cuts by `tokenizers` with the published patterns: text in hex, TAB, lengths in bytes.
    golden_tokenizer.py chat [MODEL.gguf] > tests/tokenizer/data/chat.txt
        Conversations through jinja2 and the published templates.

Needs: tokenizers, jinja2. The texts are the same on every run.
"""
import random
import struct
import subprocess
import sys

PICKED = """
Hello, world!|hello world|Hello  World| leading|trailing |  two|   three   spaces   everywhere   |\t|\t\t|\ttab|a\tb
\n|\n\n|\n\n\n|a\nb|a\n\nb|a \n b|a\r\nb|\r|\r\n\r\n|\n \n|  \n  |\n\t\n|x\n   y| \n\n\n x|\x0b\x0c|
a|ab|abc|I|The|the quick brown fox jumps over the lazy dog.|It's|it's we're I've I'm you'll he'd don't|IT'S WE'RE I'VE
'S 'T 'RE 'ſ|''s|'s|can't've|o'clock|rock 'n' roll|d'être|’s it’s
0|1|12|123|1234|12345|1234567890|3.14159|1,000,000|1e-10|0xDEADBEEF|1 2 3|10 20  30|v1.2.3|12:34:56|2024-01-31|½ ¾|²³|Ⅷ|٣٤٥|१२३|１２３|a1b2c3|1st 2nd|100%|$99.99
int main(void) { return 0; }|for (int i = 0; i < n; ++i) {|def f(x):\n    return x ** 2\n|\tif (p != NULL && *p++ == '\\0')\n\t\tbreak;\n|#include <stdio.h>|std::vector<int> v{1,2,3};|const x = (a, b) => a?.b ?? c;|SELECT * FROM t WHERE a <> 'b';|<html><body><p>hi</p></body></html>|<div class="x"></div>|</s>|{"a": [1, 2, {"b": null}]}|a_b_c|camelCaseName|snake_case_name|SCREAMING_CASE|x->y.z[0]|//comment|/* c */|\\n\\t|`code`|```python\nprint("x")\n```|==|!=|<=>|...|......|----|====================|#######|__init__|@decorator|&&|||
你好，世界！|我喜欢机器学习。|中文 mixed with English|日本語のテキスト|こんにちは世界|カタカナ|ﾊﾝｶｸ|한국어 텍스트|안녕하세요|漢字かな交じり文|㐀㐁|𠀀𠀁|繁體中文|。、「」|　全角 スペース　
Привет, мир!|Быстрая коричневая лиса|Ελληνικά|Ўзбек|ქართული|հայերեն|ไทยไม่มีช่องว่าง|हिन्दी में लिखा|বাংলা|தமிழ்|ಕನ್ನಡ|ខ្មែរ|བོད་ཡིག|አማርኛ|ᏣᎳᎩ
العربية|مرحبا بالعالم|עברית|שָׁלוֹם|فارسی‌نویسی|\u202eRTL\u202c|עם English בתוך|اَلسَّلَامُ|1٢3
é|e\u0301|n\u0303o|ä ö ü ß|A\u030a|Å|\u0301|a\u0301\u0302\u0303\u0304|Z̴͑a̷l̸g̵o̶|ﬁ ligature|ǅ|İi|Straße|naïve café|Ångström|Việt Nam|Tiếng Việt có dấu|o\u0323\u0302
😀|😀😁😂|👍🏽|👨‍👩‍👧‍👦|🏳️‍🌈|🇩🇪🇫🇷|❤️|☺|⚡️ fast|🤦🏼‍♂️|a😀b| 😀 |1️⃣|🫠|©®™|♠♥♦♣
∑∫∂∇√∞≈≠≤≥|∀x∈ℝ: x²≥0|α+β=γ|𝔸𝕓𝒞|f: X → Y|⟨ψ|φ⟩|x₁ + x₂|ℏω|½mv²|π≈3.14|∮E·dA|\\frac{a}{b}|$x^2$|A ⊂ B|⊕⊗|← ↑ → ↓|─│┌┐|▁|▁▁|a▁b|▁Hello|█▓▒░
\u00a0|a\u00a0b|\u2003em|\u200b|\u200d|\ufeff|\u2028|\u2029x|\u0085|\u180e|a\u180e\u180eb|\u0085\u0085 \x1c\x1cz|\u3000|\u1680|\u2000\u2001 \u2002|a\u00a0 b|\u00ad|\x1c\x1d\x1e\x1f|\x01\x02\x7f|\x80|\ufffd|\ufffe|\U0010ffff|\U000e0001
<bos>|<eos>|<pad>|<unk>|<start_of_turn>user\nHi<end_of_turn>\n|<end_of_turn>|<mask>|<unused0>|<unused99>|<start_of_image>|[multimodal]|<0x0A>|<0x41>|a<bos>b| <bos> |<bos><bos>|<eos|<<eos>>|<table>|<h1>Title</h1>|<code>x</code>
<|im_start|>user\nHi<|im_end|>\n|<|im_start|>|<|im_end|>|<|endoftext|>|a<|endoftext|>b|<|im_start|>system\nYou are<|im_end|>|<|im_|>|<|im_start|<|im_start|>|<repo_name>|<reponame>x|<file_sep>|<filename>a.c|<gh_stars>100|<jupyter_code>|<empty_output>|<|eot_id|>|<s>|[INST] x [/INST]
https://www.example.com/path?q=1&r=2#frag|user@example.com|C:\\Windows\\System32|/usr/local/bin|192.168.0.1|+1 (555) 010-9999|#hashtag @mention|A.B.C.|U.S.A.|e.g., i.e.|Mr. O'Neill's|"quoted"|“curly” ‘quotes’|«guillemets»|—dash–en-hyphen|… ellipsis|semi;colon|wait...what?!|(parenthesised)|[x]{y}<z>
Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor incididunt ut labore et dolore magna aliqua.|supercalifragilisticexpialidocious|Donaudampfschifffahrtsgesellschaftskapitän|antidisestablishmentarianism|pneumonoultramicroscopicsilicovolcanoconiosis|AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA|aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa|abababababababababab|zzz|qwrtpsdfghjklzxcvbnm|XyZzY
"""

ALPHABETS = ["abcdefghijklmnopqrstuvwxyz ", "ABCdefGHI 0123456789", " \t\n\r", "{}[]()<>;:,.!?'\"\\/|#+-*=& \nxyz01",
             "äöüéèñçßøåæœ eaio", "абвгдежзийклмн оп", "的一是不了人我在有他这 ，。", "あいうえおカキクケコ漢字 ",
             "😀😃👍🏽❤️🚀‍ ", "אבגדהוזחט ابتثج ", "∑∫∂√∞≈≠ αβγδ xy=+", "'stremdlvSTREMDLV ", "e\u0301a\u0300\u0323o ",
             "▁ a<>bos/e|im_startdn", "\u00a0\u2003\u3000 \n\u0085a1", "０１２३४٣٤½Ⅷ 12a"]


def texts():
    out = []
    for line in PICKED.strip("\n").split("\n"):
        for cell in line.split("|"):
            out.append(unescape(cell))
    # Cells are cut at bars, so what holds one is listed here.
    out += ["", "||", "a || b", "<|im_start|>user\nHi<|im_end|>\n", "<|im_start|>", "<|im_end|>", "<|endoftext|>",
            "a<|endoftext|>b", " <|im_end|> x", "<|im_start|<|im_start|>", "<|im_start|>system\nYou are<|im_end|>",
            "<|eot_id|>", "⟨ψ|φ⟩", "|x|", "\x00", "a\x00b", "\x00\x00\n"]
    out += [" " * n for n in (2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 32, 33, 64, 100)]
    out += ["\n" * n for n in (4, 10, 31, 32, 40)] + ["\t" * n for n in (5, 31, 32, 40)]
    out += ["x" + " " * n + "y" for n in (1, 2, 3, 4, 8, 17)] + ["=" * 70, "a" * 300, "7" * 50, "é" * 40]
    rng = random.Random(20240)
    for n in range(160):
        alphabet = ALPHABETS[n % len(ALPHABETS)]
        out.append("".join(rng.choice(alphabet) for _ in range(rng.randint(1, 40))))
    for n in range(40):
        out.append("".join(rng.choice(rng.choice(ALPHABETS)) for _ in range(rng.randint(5, 60))))
    for n in range(40):
        codes = (rng.choice([rng.randint(32, 126), rng.randint(0xA0, 0x24F), rng.randint(0x370, 0x1FFF),
                             rng.randint(0x2000, 0x2BFF), rng.randint(0x3040, 0x9FFF), rng.randint(0x1F300, 0x1F9FF)])
                 for _ in range(rng.randint(4, 24)))
        out.append("".join(map(chr, codes)))
    seen = set()
    return [t for t in out if not (t in seen or seen.add(t))]


def unescape(cell):
    for mark, n in (("\\x", 2), ("\\u", 4), ("\\U", 8)):
        while mark in cell:
            at = cell.index(mark)
            cell = cell[:at] + chr(int(cell[at + 2:at + 2 + n], 16)) + cell[at + 2 + n:]
    return cell.replace("\\n", "\n").replace("\\t", "\t").replace("\\r", "\r").replace("\\\\", "\\")


# Ill-formed where llama.cpp's reading is sound: its SentencePiece path trusts a lead byte for its length and swallows
# what follows, so there a cut-off character stands at the end only.
ILL_FORMED = [b"\x80", b"\xff", b"\xfe\xff", b"\xbf\xbf x", b"caf\xe9", b"\xc3", b"ok \xe4\xbd",
              b"\xf0\x9f\x98", b"\x80\x81\x82", b"x\x80 y", b"\xf0\x9f", b"word\xe2\x82"]
ILL_FORMED_BPE = [b"a\xffb", b"\xe4a b", b"\xc3(", b"\xe4\xbda", b"\xf0\x9f\x98a", b"\xc3\xc3\xa9", b"\xf8\x88\x80\x80\x80", b"1\xc32",
                  b"\xe2\x82 \xe2\x82\xac", b"  \xff  "]


def read_gguf(path):
    kinds = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
    with open(path, "rb") as f:
        def number(form):
            return struct.unpack("<" + form, f.read(struct.calcsize(form)))[0]

        def value(kind):
            if kind == 8:
                return f.read(number("Q")).decode()
            if kind == 9:
                kind, n = number("I"), number("Q")
                return [value(kind) for _ in range(n)]
            return number(kinds[kind])

        assert f.read(4) == b"GGUF" and number("I") in (2, 3)
        number("Q")
        return {value(8): value(number("I")) for _ in range(number("Q"))}


PATTERNS = {
    "llama-bpe": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
                 r"\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
             r"\s+(?!\S)|\s+",
}


def pre_tokenizer(name):
    from tokenizers import Regex, pre_tokenizers as p
    byte_level = p.ByteLevel(add_prefix_space=False, use_regex=name not in PATTERNS)
    if name == "gpt-2":
        return byte_level
    if name == "smollm":
        return p.Sequence([p.Digits(individual_digits=True), byte_level])
    return p.Sequence([p.Split(Regex(PATTERNS[name]), "isolated"), byte_level])


def words(name):
    pre = pre_tokenizer(name)
    for text in texts():
        cuts = [len(text[a:b].encode()) for _, (a, b) in pre.pre_tokenize_str(text)]
        assert sum(cuts) == len(text.encode()), (text, cuts)
        print(text.encode().hex() + "\t" + ",".join(map(str, cuts)))


def ids(model, helper):
    meta = read_gguf(model)
    bpe = meta["tokenizer.ggml.model"] == "gpt2"
    inputs = [t.encode() for t in texts()] + ILL_FORMED + (ILL_FORMED_BPE if bpe else [])
    answer = subprocess.run([helper, model], input="".join(t.hex() + "\n" for t in inputs), capture_output=True, text=True,
                            check=True).stdout.split("\n")
    other = None
    if bpe:
        from tokenizers import Tokenizer, models
        other = Tokenizer(models.BPE({t: i for i, t in enumerate(meta["tokenizer.ggml.tokens"])},
                                     [tuple(m.split(" ")) for m in meta["tokenizer.ggml.merges"]]))
        other.pre_tokenizer = pre_tokenizer(meta["tokenizer.ggml.pre"])
    for text, line in zip(inputs, answer):
        plain, parsed = line.split("\t")
        if not bpe and text == b"</s>":
            continue  # llama.cpp makes it a control token by its name; in Gemma's file it is a user-defined HTML tag
        if other:
            try:
                theirs = ",".join(map(str, other.encode(text.decode(), add_special_tokens=False).ids))
            except UnicodeDecodeError:
                theirs = plain
            if theirs != plain:
                print(f"{text!r}: llama.cpp {plain}, tokenizers {theirs}", file=sys.stderr)
                continue  # the two disagree: no golden
        print(text.hex() + "\t" + plain + ("\t" + parsed if parsed != plain else ""))


TEMPLATES = {
    "gemma": """{{ bos_token }}{%- if messages[0]['role'] == 'system' -%}{%- set first_user_prefix = messages[0]['content'] + '\n\n' -%}{%- set loop_messages = messages[1:] -%}{%- else -%}{%- set first_user_prefix = "" -%}{%- set loop_messages = messages -%}{%- endif -%}{%- for message in loop_messages -%}{%- if (message['role'] == 'assistant') -%}{%- set role = "model" -%}{%- else -%}{%- set role = message['role'] -%}{%- endif -%}{{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else "") }}{{ message['content'] | trim }}{{ '<end_of_turn>\n' }}{%- endfor -%}{%- if add_generation_prompt -%}{{'<start_of_turn>model\n'}}{%- endif -%}""",
    "llama3": """{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}""",
    "llama2": """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\n' + system_message + '\n<</SYS>>\n\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}""",
    "qwen": """{%- if messages[0]['role'] == 'system' %}{{- '<|im_start|>system\n' + messages[0]['content'] + '<|im_end|>\n' }}{%- else %}{{- '<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n' }}{%- endif %}{%- for message in messages %}{%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant") %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' + '\n' }}{%- endif %}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}""",
    "smollm": "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
}
CHATS = [
    [("user", "Hi")],
    [("system", "Be brief."), ("user", "  What is 2+2?\n")],
    [("user", "Hello"), ("assistant", "Hi there! "), ("user", "And <end_of_turn> or <|im_end|>?")],
    [("system", "S"), ("user", "U1"), ("assistant", "A1"), ("user", "U2"), ("assistant", "A2"), ("user", "U3")],
]


def chat():
    """Lines in hex: form, template, then for each conversation: 0/1 open, roles and contents, the text without BOS."""
    import jinja2
    bos = {"gemma": "<bos>", "llama2": "<s>", "llama3": "<|begin_of_text|>"}
    for name, template in TEMPLATES.items():
        run = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(template)
        for turns in CHATS:
            for opened in (0, 1):
                text = run.render(messages=[{"role": r, "content": c} for r, c in turns], bos_token=bos.get(name, ""),
                                  eos_token="</s>", add_generation_prompt=bool(opened))
                text = text.removeprefix(bos.get(name, ""))
                print("\t".join([name, template.encode().hex(), str(opened), text.encode().hex()] +
                                [x.encode().hex() for turn in turns for x in turn]))


if __name__ == "__main__":
    {"ids": ids, "words": words, "chat": chat}[sys.argv[1]](*sys.argv[2:])
