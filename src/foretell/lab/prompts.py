"""Prompts to audit with when no others are given: one of each class of the suites, short."""

from typing import Final

from foretell.lab.suite import Prompt

BUILT_IN: Final = tuple(
    Prompt(klass, f"built-in/{klass}", text)
    for klass, text in {
        "chat": "What should I look for when I buy a used bicycle?",
        "code": "Write a Python class for a stack with push, pop, peek and a length. Include docstrings.",
        "edit": (
            "Rename the parameter `n` to `count` and give back the whole function:\n\n"
            "def repeat(text, n):\n    out = []\n    for _ in range(n):\n        out.append(text)\n    return out\n"
        ),
        "grammar": "Write a JSON array of three objects with the fields name, age and city. Only the JSON.",
        "math": "A train leaves at 9:40 and arrives at 13:05. It stops for 25 minutes in all. How long does it move?",
        "rag": (
            "Answer from this text only. Text: The lighthouse was built in 1871 from granite. In 1984 its last keepers "
            "left, and its lamp can be seen from 19 miles away. Question: when did the keepers leave, and how far can "
            "the lamp be seen?"
        ),
        "summary": (
            "Summarise in one sentence: The council met on Tuesday to discuss the new bridge. Two of its members asked "
            "for a cheaper design. After three hours the council agreed on the original plan, by seven votes to two."
        ),
        "translation": "Translate into German: The library opens at eight and closes at six, except on Sundays.",
    }.items()
)
