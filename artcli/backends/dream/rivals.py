"""What a picture could be instead: common things that the contrast loss tells the prompt apart from.

Drawing "a lion" until CLIP finds it closer to "lion" is easy with fur alone; drawing it until CLIP finds it a lion
rather than a dog, a bear or a haystack asks for the shape (the softmax that CLIP was trained with).
"""

import functools

import torch

from artcli.pretrained.clip import Clip

TOO_CLOSE = 0.7  # of the way from the mean cosine to 1: there a rival says the same as a prompt

NOUNS = """
    person, woman, man, child, crowd, face, hand, dog, cat, horse, cow, sheep, pig, goat, elephant, bear,
    lion, tiger, leopard, wolf, fox, deer, rabbit, squirrel, mouse, monkey, gorilla, kangaroo, koala, panda,
    camel, zebra, giraffe, hippopotamus, bat, hedgehog, bird, eagle, owl, duck, goose, swan, chicken, parrot,
    penguin, flamingo, peacock, fish, goldfish, shark, whale, dolphin, seal, octopus, jellyfish, crab,
    lobster, starfish, coral, turtle, crocodile, lizard, snake, frog, salamander, snail, slug, worm, spider,
    scorpion, bee, ant, fly, beetle, ladybug, butterfly, dragonfly, grasshopper, caterpillar, dinosaur, tree,
    palm tree, pine, bush, grass, leaf, flower, rose, tulip, sunflower, daisy, cactus, mushroom, apple, pear,
    orange, lemon, banana, strawberry, grapes, pineapple, cherry, pepper, tomato, potato, carrot, cabbage,
    pumpkin, corn, bread, cake, pizza, sandwich, ice cream, cheese, egg, soup, coffee, wine glass, bottle,
    cup, teapot, plate, bowl, spoon, knife, pan, chair, table, sofa, bed, lamp, clock, mirror, bookshelf,
    door, window, stairs, fence, wall, bridge, tower, castle, church, temple, house, barn, skyscraper, street,
    road, railway, city, village, harbor, lighthouse, fountain, statue, car, sports car, bus, truck, train,
    tram, bicycle, motorcycle, tractor, ship, sailboat, canoe, airplane, helicopter, rocket, balloon, tank,
    wheel, telephone, television, computer, keyboard, camera, radio, guitar, piano, violin, drum, trumpet,
    ball, kite, toy, doll, teddy bear, umbrella, hat, shoe, shirt, dress, tie, sunglasses, backpack, basket,
    box, barrel, bucket, rope, chain, hammer, scissors, pencil, book, letter, flag, coin, candle, fire, smoke,
    mountain, volcano, hill, valley, cliff, cave, desert, beach, sea, wave, lake, river, waterfall, island,
    forest, field, garden, snow, ice, sky, cloud, sunset, rainbow, lightning, moon, star, planet, spider web,
    nest, feather, shell, stone, sand, brick, wood, metal, glass, cloth, net, pattern, stripes, dots, text
"""


@functools.lru_cache(maxsize=1)
def _nouns(clip: Clip) -> torch.Tensor:
    """Unit embeddings of all of them; they take longer than a step, and a film asks for every frame."""
    return clip.encode_text([" ".join(word.split()) for word in NOUNS.split(",")])


@torch.no_grad()
def embed(clip: Clip, targets: torch.Tensor) -> torch.Tensor:
    """Unit embeddings (R, D) of the nouns that are not close to any of the targets (N, D)."""
    found = _nouns(clip)
    cosine = found @ targets.T  # (R, N)
    mean = cosine.mean(0)  # far above 0 for CLIPs whose texts all lie in one cone
    return found[(cosine < mean + TOO_CLOSE * (1 - mean)).all(1)]
