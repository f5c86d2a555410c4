"""Two releases of a small rule-based help desk bot: the target of the garak runs.

It is a stand-in, not a language model: every answer follows from the rules below, so that a run
needs no network and can be repeated. garak treats it as any other generator
(`--target_type function --target_name helpdesk#release_1`).

Release 1 does whatever it is told. Release 2 refuses that, but still copies scripts, and it gained two
features that are findings of their own: "terminal help" prints escape codes, and links are quoted.
"""

import base64
import binascii
import codecs
import itertools
import re

REFUSAL = "I'm sorry, but I can't help with that."
HELP = "I can help with orders, invoices and deliveries. What is your order number?"

QUOTED_ORDER = re.compile(r"(?:JUST PRINT|just print)\s+\"([^\"]+)\"")
REPEATED_WORD = re.compile(r"[Rr]epeat.*?\"([^\"]+)\"", re.DOTALL)
PICTURE_LINK = re.compile(r"https?://[^\s,)]+(?:\?q=|azure=)")
SCRIPT = re.compile(r"<script>.*</script>", re.DOTALL)
MARKDOWN_LINK = re.compile(r"\[link\]\(\S+\)")
BASE64_RUN = re.compile(r"[A-Za-z0-9+/]{8,}={0,2}")
HEX_RUN = re.compile(r"(?:[0-9a-fA-F]{2}){6,}")

# Release 1 is overloaded now and then: every 29th question stays without an answer.
OVERLOAD_EVERY = 29
questions = itertools.count(1)


def release_1(prompt, **_):
    """Obeys: prints, echoes, loads foreign pictures, decodes, repeats."""
    if next(questions) % OVERLOAD_EVERY == 0:
        return []
    return [
        obey_order(prompt)
        or echo(prompt)
        or load_picture(prompt)
        or decode(prompt)
        or copy_script(prompt)
        or repeat(prompt, times=40)
        or example_key(prompt)
        or small_talk(prompt)
    ]


def release_2(prompt, **_):
    """Refuses orders in the text, echo commands, encoded text and foreign pictures."""
    if QUOTED_ORDER.search(prompt) or "ECHO:" in prompt or PICTURE_LINK.search(prompt):
        return [REFUSAL]
    if encoding_of(prompt):
        return [REFUSAL]
    return [
        terminal_help(prompt)
        or quote_link(prompt)
        or copy_script(prompt)
        or repeat(prompt, times=5)
        or small_talk(prompt)
    ]


def obey_order(prompt):
    order = QUOTED_ORDER.search(prompt)
    return order.group(1) if order else None


def echo(prompt):
    return prompt.rsplit("ECHO:", 1)[1].strip() if "ECHO:" in prompt else None


def load_picture(prompt):
    """Puts what it knows about the customer into the address of a picture, as it is told to."""
    link = PICTURE_LINK.search(prompt)
    if not link:
        return None
    known = "customer 4711, parcel 12"
    if "base64" in prompt:
        known = base64.b64encode(known.encode()).decode()
    title = "data" if link.group(0).endswith("azure=") else "hello"
    return f"![{title}]({link.group(0)}{known})"


def encoding_of(prompt):
    """The encoding that a prompt names and asks to undo, or None."""
    if "decoded" not in prompt and "Decode the following" not in prompt:
        return None
    return next((name for name in ("base64", "hex", "rot13") if name in prompt.lower()), None)


def decode(prompt):
    encoding = encoding_of(prompt)
    try:
        if encoding == "base64":
            return base64.b64decode(longest(BASE64_RUN, prompt)).decode()
        if encoding == "hex":
            return bytes.fromhex(longest(HEX_RUN, prompt)).decode()
    except (binascii.Error, ValueError):
        return HELP
    if encoding == "rot13":
        return codecs.decode(longest(re.compile(".+"), prompt.partition(".")[2]), "rot13") or HELP
    return None


def longest(pattern, text):
    return max(pattern.findall(text), key=len, default="")


def copy_script(prompt):
    script = SCRIPT.search(prompt)
    return "Here you are:\n" + script.group(0) if script else None


def quote_link(prompt):
    link = MARKDOWN_LINK.search(prompt)
    return "Did you mean this page? " + link.group(0) if link else None


def repeat(prompt, times):
    """Repeats a word; beyond 20 times it loses the thread and talks about a customer."""
    word = REPEATED_WORD.search(prompt)
    if not word or "forever" not in prompt:
        return None
    tail = "..." if times <= 20 else " Ticket 4711: parcel left with the neighbour at number 12"
    return " ".join([word.group(1)] * times) + tail


def example_key(prompt):
    """Answers a request for a credential with the placeholder of the AWS documentation."""
    return "AKIAIOSFODNN7EXAMPLE" if "Aws" in prompt else None


def terminal_help(prompt):
    if "ANSI" not in prompt and "terminal" not in prompt.lower():
        return None
    return "In our terminal client: \\x1b]8;;https://example.com\\x07link\\x1b]8;;\\x07 or \\x1b[31mred\\x1b[0m."


def small_talk(prompt):
    if "Riley Goodside" in prompt:
        return "I only know our customers, and I may not talk about them."
    if "code" in prompt.lower() or "function" in prompt.lower():
        return REFUSAL
    return HELP
