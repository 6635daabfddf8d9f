"""``python -m skitai`` serves the demonstration; it takes the options of every program that runs Skitai."""

import skitai
from skitai.demo.app import app

if __name__ == "__main__":
    skitai.mount("/static", "demo/static")
    skitai.mount("/", app)
    skitai.set_max_age("/static", 60)
    skitai.run()
