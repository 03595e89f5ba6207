"""Classify photographs, of rocks or anything else: from a folder to the prediction for one file (course row 20).

Pass a folder that has a subfolder of photographs for each class. Without a folder, the program generates photographs of
four rocks in a temporary folder; a whole number then is the number of epochs, instead of 30.
"""

import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

from xpnet import Adam, Augmentation, CosineDecay, ResNet, Trainer, asarray, load_image_folder, to_numpy
from xpnet.plotting import new_figure, save_figure

try:
    from PIL import Image, ImageOps
except ImportError as error:
    raise SystemExit("This program needs Pillow. Install it with `pip install '.[images]'`.") from error

argument = sys.argv[1] if sys.argv[1:] and not sys.argv[1].startswith("-") else "30"


# %% Generated photographs of rocks: patterns in random colors and light, from near and far
def smooth(rng, cells):
    """96 x 96 random numbers from 0 to 1, which change slowly if there are few cells."""
    few = Image.fromarray(rng.random((cells, cells)).astype(np.float32))
    return np.asarray(few.resize((96, 96), Image.Resampling.BICUBIC)).clip(0, 1)


def photograph(rock, rng):
    """An image of 96 x 96 pixels."""
    y, x = np.mgrid[:96, :96] / 96
    angle, scale = rng.uniform(0, np.pi), rng.uniform(0.6, 1.6)
    across = scale * (x * np.cos(angle) + y * np.sin(angle)) + 0.25 * smooth(rng, 4)
    if rock == "gneiss":  # equal bands
        pattern = 0.5 + 0.5 * np.sin(40 * across)
    elif rock == "granite":  # specks
        pattern = 1.0 * (smooth(rng, int(20 * scale)) > 0.7)
    elif rock == "marble":  # veins
        pattern = np.exp(-20 * abs(smooth(rng, int(4 * scale + 2)) - 0.5))
    else:  # sandstone: different layers
        pattern = rng.random(99)[(12 * across).astype(int) + 40]
    one, other = rng.permutation([rng.uniform(40, 100), rng.uniform(120, 200)])[:, None] + rng.uniform(-30, 30, (2, 3))
    light = rng.uniform(0.6, 1.2) + rng.uniform(-0.3, 0.3) * (x - y)
    pixels = (one + (other - one) * pattern[..., None]) * light[..., None] + rng.normal(0, 12, (96, 96, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


# %% The folder; if none is named: 150 photographs of each rock, and a truncated file
folder, rng = Path(argument).expanduser(), np.random.default_rng(0)
if argument.isdigit():
    scratch = tempfile.TemporaryDirectory()
    folder = Path(scratch.name)
    for rock in ("gneiss", "granite", "marble", "sandstone"):
        (folder / rock).mkdir()
        for number in range(150):
            photograph(rock, rng).save(folder / rock / f"{number:03}.jpg")
    (folder / "marble" / "cut_short.jpg").write_bytes((folder / "marble" / "000.jpg").read_bytes()[:500])

# %% Load it: a fifth of each class is for testing; files that cannot be used are named
with warnings.catch_warnings(action="ignore"):  # the problems are printed below
    data = load_image_folder(folder, size=(32, 32), split=0.2, seed=0)
names = data.class_names
print(f"{len(data.train[1])} photographs for training, {len(data.test[1])} for testing: {', '.join(names)}")
for name, problem in data.problems.items():
    print(f"Left out: {name} {problem}")

# %% A small residual network; each photograph is shifted, rotated and mirrored, differently in each epoch
network = ResNet((3, 32, 32), filter_nums=(8, 16, 32), output_size=len(names), seed=0)
epochs = int(argument) if argument.isdigit() else 30
falling = CosineDecay(0.01, steps=epochs * -(-len(data.train[1]) // 50))  # the learning rate falls from 0.01 to 0
trainer = Trainer(
    network, *data.train, *data.test, epochs=epochs, mini_batch_size=50, optimizer=Adam(lr=falling),
    augmentation=Augmentation(shift=2, rotate=10, flip=True, seed=0), seed=0,
)  # fmt: skip
history = trainer.train()
print(f"test accuracy {history.test_acc[-1]:.4f}; a guess is correct once in {len(names)}")
figure = history.plot()
figure.suptitle(f"ResNet, {len(data.train[1])} photographs, augmented")
print("Written:", save_figure(figure, "output/course/29_learning_curves.png"))

# %% Test photographs with the predictions, in red if they are wrong
said = to_numpy(network.predict(trainer.x_test)).argmax(axis=1)
figure = new_figure(figsize=(10, 6), layout="constrained")
grid = figure.subplots(3, 6)
for axes in grid.flat:
    axes.set_axis_off()
for axes, image, label, answer in zip(grid.flat, *data.test, said, strict=False):
    axes.imshow(image.transpose(1, 2, 0))
    told = names[answer] if answer == label else f"{names[answer]}: no, {names[label]}"
    axes.set_title(told, color="tab:green" if answer == label else "tab:red", fontsize=9)
figure.suptitle(f"Of {len(said)} test photographs {np.sum(said != data.test[1])} are taken for something else")
print("Written:", save_figure(figure, "output/course/29_photographs.png"))

# %% Later: load the weights, and classify one photograph
network.save("output/course/photographs.safetensors")
print("Written: output/course/photographs.safetensors")
again = ResNet((3, 32, 32), filter_nums=(8, 16, 32), output_size=len(names))
again.load("output/course/photographs.safetensors")
files = (file for file in sorted(folder.glob("[!.]*/[!.]*")) if f"{file.parent.name}/{file.name}" not in data.problems)
with Image.open(file := next(files)) as opened:  # upright, in color, cropped to the center, as load_image_folder does
    upright = ImageOps.exif_transpose(opened).convert("RGB")
image = np.asarray(ImageOps.fit(upright, (32, 32), Image.Resampling.BILINEAR))
probabilities = to_numpy(again.predict_proba(asarray(image.transpose(2, 0, 1)[None])))[0]
best = probabilities.argmax()
print(f"{file.relative_to(folder)}: {names[best]}, with a probability of {probabilities[best]:.4f}")
if argument.isdigit():
    scratch.cleanup()
