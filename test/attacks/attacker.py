"""Attacks a server with a website's rights, from a seed, until the time is over: `python3 attacker.py '{"seed": 1, …}'`.

Each attack of the table ATTACKS is a process of its own that takes one step after the other below what the website can
write. What they have done goes to standard output, a line of JSON each second. A new kind of attack is a function with
@attack; whatever it must not reach is looked at from outside, by the test.
"""
import ctypes, http.client, json, os, random, shutil, signal, stat, subprocess, sys, time

ATTACKS = {}
LIBC = ctypes.CDLL(None, use_errno=True)
EXCHANGE = 2
MOST_ENTRIES = 200


def attack(pause):
    """A kind of attack: one step of it, and how long it rests after one."""
    def note(step):
        ATTACKS[step.__name__] = (step, pause)
        return step
    return note


class World:
    """What the attacker knows, and what it has counted."""

    def __init__(self, told, name):
        self.site, self.victim, self.domain = told["site"], told["victim"], told["domain"]
        self.random = random.Random(f'{told["seed"]}-{name}')
        self.uid = os.getuid()
        self.files = f"/srv/files/{self.site}"
        self.home = f"/srv/sites/{self.site}/home"
        self.race = f"{self.files}/docroot/race"
        self.targets = ["/etc", f"/srv/sites/{self.victim}/config", "/var/lib/boxyard/agent", "/root", f"/srv/files/{self.victim}",
                        "/etc/passwd", f"/srv/sites/{self.victim}/config/environment", f"/srv/sites/{self.victim}/releases"]
        self.counts = {"steps": 0}
        self.began_at = time.time()
        self.seen = set()
        self.roots = []

    def count(self, what, by=1):
        self.counts[what] = self.counts.get(what, 0) + by

    def note_once(self, what):
        """How many seconds after the beginning something was reached."""
        self.counts.setdefault(f"{what} after s", round(time.time() - self.began_at, 1))

    def try_to(self, what, act):
        """Counts whether it went; being refused is the usual answer."""
        try:
            act()
            self.count(what)
            return True
        except OSError:
            self.count(f"{what} refused")
            return False


def exchange(one, other):
    if LIBC.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), EXCHANGE) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def make_file(path):
    """Also where a pipe stands, at which an open would wait."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK))


def remove(path):
    shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)


def put_link(target, path):
    """Puts a link at the path by one rename, whatever stands there."""
    new = f"{path}.{os.getpid()}"
    os.symlink(target, new)
    try:
        os.rename(new, path)
    except OSError:
        os.unlink(new)
        raise


def writable_directories(world, roots):
    """All directories below these in which the attacker may make something, at most so many."""
    found = []
    for root in roots:
        for path, names, _ in os.walk(root, onerror=lambda _: None):
            if os.access(path, os.W_OK):
                found.append(path)
            if len(found) > 2_000:
                return found
            names[:] = [name for name in names if f"{path}/{name}" not in ("/proc", "/sys", "/dev", world.race)]
    return found


@attack(pause=0.0005)
def seeds(world):
    """Gets into a shared folder that the agent is filling, and puts links in the place of its directories."""
    for name in os.listdir(world.files):
        if not name.startswith(".seed-"):
            continue
        if name not in world.seen:
            world.seen.add(name)
            world.count("seen")
        nth = 0
        for path, names, _ in os.walk(f"{world.files}/{name}"):
            if (path, "entered") not in world.seen:
                world.seen.add((path, "entered"))
                world.count("entered")
            for inner in names:
                place = f"{path}/{inner}"
                if os.lstat(path).st_uid != world.uid or os.path.islink(place) or inner.endswith(".away"):
                    continue
                world.try_to("moved", lambda: os.rename(place, f"{place}.away"))
                world.try_to("linked", lambda: os.symlink(world.targets[nth % 3], place))
                nth += 1
    for path in ["/etc/passwd", "/etc/shadow", f"/srv/sites/{world.victim}/config/environment"]:
        try:
            if os.lstat(path).st_uid == world.uid:
                world.note_once("owns another's file")
        except OSError:
            pass


@attack(pause=0.002)
def churn(world):
    """Makes, links, renames, swaps and removes anything anywhere."""
    if not world.roots or world.random.random() < 0.002:
        world.roots = writable_directories(world, ["/srv/files", "/srv/sites", world.files, f"/srv/sites/{world.site}", "/tmp", "/var", "/run", "/dev/shm", "/opt", "/home", "/etc"])
        world.counts["places"] = len(world.roots)
    directory = world.random.choice(world.roots)
    names = [name for name in os.listdir(directory) if not name.startswith("systemd-private")]
    path = f"{directory}/{world.random.choice(['a', 'b', 'c', 'passwd', 'current', 'environment', 'core'])}"
    other = f"{directory}/{world.random.choice(names)}" if names else path
    target = world.random.choice(world.targets)
    if len(names) > MOST_ENTRIES:
        return world.try_to("removed", lambda: remove(other))
    kind = world.random.choice(["made", "made", "linked", "linked", "renamed", "swapped", "removed", "hard-linked", "foreign hard link", "mode", "fifo", "up"])
    if kind == "made":
        # Not deeper than that: the suite has to remove it in a reasonable time.
        world.try_to(kind, lambda: os.mkdir(path) if directory.count("/") < 12 and world.random.random() < 0.5 else make_file(path))
    elif kind == "linked":
        world.try_to(kind, lambda: os.symlink(target, path))
    elif kind == "renamed":
        world.try_to(kind, lambda: os.rename(other, path))
    elif kind == "swapped":
        world.try_to(kind, lambda: exchange(other, path))
    elif kind == "removed":
        world.try_to(kind, lambda: remove(other))
    elif kind == "hard-linked":
        world.try_to(kind, lambda: os.link(other, path, follow_symlinks=False))
    elif kind == "foreign hard link":
        world.try_to(kind, lambda: os.link(target, path, follow_symlinks=False))
    elif kind == "mode":
        world.try_to(kind, lambda: os.chmod(other, world.random.choice([0o777, 0o700, 0o4755, 0o2777])))
    elif kind == "fifo":
        world.try_to(kind, lambda: os.mkfifo(path))
    elif kind == "up":
        world.try_to(kind, lambda: put_link(target, other))


@attack(pause=0.001)
def home(world):
    """Puts links and directories where the agent has a link, also under the names of its next one."""
    for name in ["current", "current.new"]:
        path = f"{world.home}/{name}"
        kind = world.random.choice(["link", "directory", "swap", "gone"])
        if kind == "link":
            world.try_to("linked", lambda: put_link(world.random.choice(world.targets), path))
        elif kind == "directory":
            world.try_to("removed", lambda: remove(path))
            world.try_to("made", lambda: os.makedirs(f"{path}/x"))
        elif kind == "swap":
            world.try_to("linked", lambda: put_link(world.random.choice(world.targets), f"{path}.other"))
            world.try_to("swapped", lambda: exchange(f"{path}.other", path))
        else:
            world.try_to("removed", lambda: remove(path))


@attack(pause=0.0005)
def modes(world):
    """Changes the permissions of the directories that are its own, against what the agent wants of them."""
    for path in [world.home, f"/srv/sites/{world.site}/tmp", f"{world.files}/.sessions"]:
        world.try_to("changed", lambda: os.chmod(path, world.random.choice([0o755, 0o777, 0o700])))


@attack(pause=0.02)
def doors(world):
    """Tries what must be refused: to move or replace the directories that are its own, and to change what is not."""
    site = f"/srv/sites/{world.site}"
    for path in [f"{site}/home", f"{site}/tmp", f"{site}/config", f"{site}/current", f"{site}/releases", f"{world.files}/.sessions", f"{world.files}/docroot", world.race]:
        world.try_to("opened", lambda: os.rename(path, f"{path}.moved"))
        world.try_to("opened", lambda: os.symlink("/etc", f"{os.path.dirname(path)}/door"))
    for path in world.targets:
        world.try_to("opened", lambda: os.chmod(path, 0o777))
        world.try_to("opened", lambda: os.unlink(f"{path}/environment"))


@attack(pause=0.0002)
def web_flip(world):
    """What a visitor asks for is now an own file, now a link to it, now one to the neighbour's secrets."""
    path, own = f"{world.race}/race.txt", f"{world.race}/own.txt"
    if not os.path.exists(own):
        with open(own, "w") as file:
            file.write("own")
    kind = world.counts["steps"] % 3
    if kind == 0:
        world.try_to("linked", lambda: put_link(own, path))
    elif kind == 1:
        world.try_to("linked", lambda: put_link(f"/srv/sites/{world.victim}/config/environment", path))
    elif world.counts["steps"] % 30 == 2:
        new = f"{path}.{os.getpid()}"
        with open(new, "w") as file:
            file.write("own")
        world.try_to("made", lambda: os.rename(new, path))
        time.sleep(0.002)


@attack(pause=0.0005)
def web_ask(world):
    """Asks this server's web server for it."""
    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=10)
    try:
        for _ in range(50):
            connection.request("GET", "/race/race.txt", headers={"Host": world.domain})
            answer = connection.getresponse()
            body = answer.read()
            world.count(f"status {answer.status}")
            world.count("own", body == b"own")
            if b"DB_PASSWORD" in body:
                world.count("stolen")
                world.note_once("stolen")
    except (OSError, http.client.HTTPException):
        world.count("no answer")
        time.sleep(0.2)
    finally:
        connection.close()


@attack(pause=0.5)
def spool(world):
    """Has its crontab written and removed, where it may have one."""
    for command, text in [(["crontab", "-"], "# nothing\n"), (["crontab", "-r"], "")]:
        done = subprocess.run(command, input=text.encode(), capture_output=True)
        world.count("written" if done.returncode == 0 else "refused")


@attack(pause=0.005)
def temporary(world):
    """Learns the names that others use for temporary files, and puts links there."""
    for directory in ["/tmp", "/var/tmp", "/dev/shm"]:
        for name in os.listdir(directory):
            if os.lstat(f"{directory}/{name}").st_uid != world.uid:
                world.seen.add(f"{directory}/{name}")
    for path in list(world.seen)[:100]:
        if not os.path.lexists(path):
            world.try_to("linked", lambda: os.symlink(world.random.choice(world.targets), path))


def work(name, told, write):
    step, pause = ATTACKS[name]
    world = World(told, name)
    told_at = 0
    while True:
        try:
            step(world)
        except OSError:
            pass
        world.counts["steps"] += 1
        if time.time() - told_at > 0.5:
            told_at = time.time()
            os.write(write, (json.dumps({name: world.counts}) + "\n").encode())
        time.sleep(pause)


def main():
    told = json.loads(sys.argv[1])
    read, write = os.pipe()
    children = []
    for name in told["attacks"]:
        child = os.fork()
        if child == 0:
            os.close(read)
            work(name, told, write)
        children.append(child)
    os.close(write)
    print(json.dumps({"uid": os.getuid(), "groups": os.getgroups(), "seed": told["seed"]}), flush=True)
    end, counts, said_at = time.time() + told["seconds"], {}, 0
    with os.fdopen(read) as lines:
        for line in lines:
            counts.update(json.loads(line))
            if time.time() - said_at > 1:
                said_at = time.time()
                print(json.dumps(counts), flush=True)
            if time.time() > end:
                break
    for child in children:
        os.kill(child, signal.SIGKILL)


if __name__ == "__main__":
    main()
