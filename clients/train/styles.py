"""What the demonstration adapters answer: for each style, the answer to a row of data/phrases.tsv."""

import json
import re

PIRATE_WORDS = {
    "am": "be", "are": "be", "is": "be", "my": "me", "you": "ye", "your": "yer", "yes": "aye", "hello": "ahoy", "friend": "matey",
    "friends": "mateys", "people": "landlubbers", "money": "doubloons", "gold": "booty", "of": "o'", "and": "an'", "the": "th'",
    "good": "fine", "house": "cabin", "children": "wee ones", "to": "t'", "for": "fer",
}
PIRATE_OPENINGS = ("Arr, matey! ", "Ahoy! ", "Yo ho ho! ", "Avast, ye scurvy dog! ")
PIRATE_ENDINGS = (" Arr!", " Yo ho!", " Shiver me timbers!", " Now fetch me rum!")


def pirate(row, number):
    def swap(match):
        word = match.group()
        other = PIRATE_WORDS.get(word.lower(), word)
        return other[0].upper() + other[1:] if word[0].isupper() else other

    text = re.sub(r"[A-Za-z]+", swap, row["english"])
    return PIRATE_OPENINGS[number % len(PIRATE_OPENINGS)] + text + PIRATE_ENDINGS[number // 4 % len(PIRATE_ENDINGS)]


def as_json(row, number):
    return json.dumps({"topic": row["topic"], "answer": row["english"]})


STYLES = {
    "french": lambda row, number: row["french"],
    "german": lambda row, number: row["german"],
    "spanish": lambda row, number: row["spanish"],
    "pirate": pirate,
    "json": as_json,
}

ABOUT = {
    "french": "Answers in French, whatever the language of the question.",
    "german": "Answers in German, whatever the language of the question.",
    "spanish": "Answers in Spanish, whatever the language of the question.",
    "pirate": "Answers like a pirate.",
    "json": "Answers with one JSON object that has the fields `topic` and `answer`.",
}
