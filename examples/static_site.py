"""A directory as a web site: http://127.0.0.1:5000/."""

import skitai

skitai.mount("/", "site")
skitai.set_max_age("/", 300)
skitai.set_max_age("/images", 3600)

if __name__ == "__main__":
    skitai.run()
