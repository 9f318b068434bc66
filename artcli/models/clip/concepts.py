"""What a picture may be called: its class, and the kinds of things that class belongs to."""

import torch

from artcli.training.pictures import PictureSet
from artcli.training.words import KIND_PART


class Concepts:
    """Rows of words: the classes of every set one after the other, then every set's kinds.

    names: per row, synonyms separated by "|".  first_class: the row of each set's first class.
    chances: (classes, rows), how often a picture of a class is asked for which row; 0 where the row is wrong.
    same_set: (classes, rows), which rows compete with each other at all.
    """

    def __init__(self, sets: list[PictureSet]):
        self.names = [name for s in sets for name in s.names]
        self.first_class = torch.tensor([0, *(len(s.names) for s in sets)]).cumsum(0)[:-1]
        classes, owner = len(self.names), [number for number, s in enumerate(sets) for _ in s.names]
        kinds = [_words(line) for s in sets for line in s.kinds]
        row_of = {(owner[row], word): row for row, name in enumerate(self.names) for word in _words(name)}
        for row in range(classes):
            for kind in kinds[row]:
                if (owner[row], kind) not in row_of:
                    row_of[owner[row], kind] = len(self.names)
                    self.names.append(kind)
                    owner.append(owner[row])
        self.chances = torch.eye(classes, len(self.names))
        for row in range(classes):
            more = {row_of[owner[row], kind] for kind in kinds[row]}
            for other in more:
                self.chances[row, row] = 1 - KIND_PART
                self.chances[row, other] = KIND_PART / len(more)
        sets_of = torch.tensor(owner)
        self.same_set = sets_of[:classes, None] == sets_of[None]

    def draw(self, classes: torch.Tensor, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """For pictures of these classes (B,): a right row each (B,), and the rows to leave out (B, rows).

        Left out are other sets' rows and whatever else is right: a sports car is no wrong "car".
        """
        chances = self.chances[classes]
        rows = torch.multinomial(chances, 1, generator=rng)
        hidden = ~self.same_set[classes] | (chances > 0)
        return rows[:, 0], hidden.scatter(1, rows, False)


def _words(names: str) -> list[str]:
    return [word for word in names.split(", ") if word]
