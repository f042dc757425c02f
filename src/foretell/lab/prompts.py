"""Prompts that come with Foretell: one of each class of the suites, short, and texts that want correcting."""

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

_CORRECT: Final = "Correct the grammar of the following text. Reply with the corrected text only.\n\n"
CORRECTIONS: Final = tuple(
    Prompt("grammar", f"corrections/{number}", _CORRECT + text)
    for number, text in enumerate(
        (
            (
                "My sister have moved to a new flat last month. It are smaller than the old one, but she like the "
                "garden. Every evening she go outside and read a book under the big tree."
            ),
            (
                "The museum was very interesting, but we was tired after two hour. There was so much peoples that "
                "we could not see nothing. Next time we will going on a Monday."
            ),
            (
                "I am learning to cook since three years. My first soup tasted horrible because I putted too much "
                "salt in it. Now my friends says that my bread is more better than from the shop."
            ),
            (
                "When the train arrived to the station, it were already dark. Nobody had tell us that the hotel "
                "is closed on winter. So we had to walking back and sleep in the waiting room."
            ),
            (
                "Our teacher explain always the homeworks twice. Some pupils does not listen and then they asks "
                "the same question again. I think she is the patientest person which I know."
            ),
            (
                "If it will rain tomorrow, we stays at home and play cards. My brother don't like to lose, "
                "therefore he often cheat. Last week we have catched him with a ace in his sleeve."
            ),
        )
    )
)
