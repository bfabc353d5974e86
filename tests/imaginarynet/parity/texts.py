"""Texts, and what the normaliser of dalle-mini 0.1.5 makes of them; none has a hashtag."""

NORMALISED = {
    "A photo of a Dog": " a photo of a dog",
    "a red mug: on a table; by a window.": " a red mug, on a table, by a window",
    'He said "stop"!!': ' he said " stop "',
    "It's a dog's life": " it's a dog's life",
    "1,234,567 lemons at 3.5 each": " 1234567 lemons at 3.5 each",
    "well-known   cat\n\ton a mat": " well known cat on a mat",
    "50% off & more": " 50 % off & more",
    "salt &amp;amp; pepper": " salt & pepper",
    "caf\u00e9 cr\u00e8me": " cafe creme",
    "a <b>bold</b> chair": " a bold chair",
    "see http://example.org/x now": " see now",
    "soooooo good": " so good",
    "3/4 of a pie": " 3/4 of a pie",
    "(a, b, c)": " a, b, c",
    "snake_case \\ back": " snake case back",
    "": " ",
}
TEXTS = tuple(NORMALISED)
