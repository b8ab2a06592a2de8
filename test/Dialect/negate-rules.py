# REQUIRES: full, plain-build
# RUN: rm -rf %t && mkdir -p %t
# RUN: %python %s %moec_src %moec_bin %t
"""Every verifier rule, turned off, fails a test.

One build serves all rules: the dialects are compiled again with every check
guarded by a number, and MOEC_RULE_OFF=<number> makes that check accept whatever
it gets. A check is

* `if (condition) return <diagnostic>`: the diagnostic is never given;
* `failed(checkSomething(...))` and `return checkSomething(...)`: a shared check
  is not called from this place.

The tests are the commands of the dialects' *.mlir that verify diagnostics. They
need the diagnostic of a negated condition as much as that of one that is off, so
a rule that survives its negation survives here too. Arguments after the folder
name choose rules by a part of their `file:line text`.
"""

import concurrent.futures
import os
import pathlib
import re
import shlex
import subprocess
import sys

DIALECTS = {"Moe": "MoeIR", "MoeTile": "MoeTile", "MoeNv": "MoeNv"}  # folder, library
# Checks of a transformation, not of a verifier: TilingTest.cpp has their tests.
TRANSFORMATIONS = {"MoeTiling.cpp"}
GUARD = 'extern "C" bool moecRuleIsOff(int rule);\n'
GUARD_SOURCE = """#include <cstdlib>
extern "C" bool moecRuleIsOff(int rule) {
  static const int off = [] {
    const char *text = std::getenv("MOEC_RULE_OFF");
    return text ? std::atoi(text) : -1;
  }();
  return rule == off;
}
"""
DIAGNOSTIC = re.compile(r"\bemit(Op)?Error\b|\bemitError\(\)")
CHECK = re.compile(r"(?:\w+::)*(?:check|verify)[A-Z]\w*(?:<\w+>)?\(")


def blank(text):
    """The text with comments and the insides of strings blanked, same length."""
    def spaces(match):
        part = match.group(0)
        if part[0] == "/":
            return re.sub(r"[^\n]", " ", part)
        return part[0] + " " * (len(part) - 2) + part[-1]
    return re.sub(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'', spaces, text,
                  flags=re.S)


def closing(code, start):
    """Index behind the bracket that closes the one at `start`."""
    depth = 0
    for i in range(start, len(code)):
        depth += (code[i] in "([{") - (code[i] in ")]}")
        if depth == 0:
            return i + 1
    raise ValueError(f"no closing bracket: {code[start:start + 60]}")


class Rules:
    """Guards the checks of files; collects where each number stands."""

    def __init__(self):
        self.places = []

    def number(self, name, text, at, what):
        line = text.count("\n", 0, at) + 1
        label = re.search(r"[a-z][a-z0-9_]*_c[0-9]+", what)
        what = (label.group(0) + " " if label else "") + " ".join(what.split())[:90]
        self.places.append(f"{name}:{line} {what}")
        return len(self.places) - 1

    def guard(self, name, text):
        code, edits = blank(text), []

        def wrap(begin, end, what, before, after=")"):
            edits.append((begin, before.format(self.number(name, text, begin, what))))
            edits.append((end, after))

        for match in re.finditer(r"\bif \(", code):
            begin, end = match.end(), closing(code, match.end() - 1) - 1
            condition = code[begin:end]
            body = re.match(r"\s*(\{\s*)?return\b[^;]*;", code[end + 1:])
            if not body or not DIAGNOSTIC.search(body.group(0)):
                continue
            if "parser.emitError" in body.group(0):  # grammar, not a rule
                continue
            what = text[end + 1:end + 1 + body.end()]
            declared = re.search(r"^[\w:<>*& ]+ = |;", condition)
            if declared:  # `if (T x = f())`: the whole statement goes.
                wrap(match.start(), match.start(), what, "if (!moecRuleIsOff({})) ", "")
            else:
                wrap(begin, end, what, "!moecRuleIsOff({}) && (")
        for match in re.finditer(r"\bfailed\((?=" + CHECK.pattern + ")", code):
            end = closing(code, match.end() - 1)
            wrap(match.start(), end, text[match.start():end], "(!moecRuleIsOff({}) && ")
        for match in re.finditer(r"\breturn (?=" + CHECK.pattern + ")", code):
            end = code.index(";", match.end())
            wrap(match.end(), end, text[match.end():end],
                 "moecRuleIsOff({}) ? ::llvm::LogicalResult::success() : (")
        order = sorted(range(len(edits)), key=lambda i: (edits[i][0], i))
        out, at = [GUARD], 0
        for i in order:
            position, insert = edits[i]
            out += [text[at:position], insert]
            at = position
        return "".join(out) + text[at:]


def self_test():
    rules = Rules()
    got = rules.guard("a.cpp", """f() {
  // if (no) return emitError();
  if (a && g("(", b))
    return op->emitOpError("x_c1: bad") << ")";
  if (failed(checkShape(op, "x_c2", h(1))))
    return failure();
  if (a)
    return success();
  return checkMore(op, "x_c3");
}""")
    assert [p.split()[:2] for p in rules.places] == [
        ["a.cpp:3", "x_c1"], ["a.cpp:5", "x_c2"], ["a.cpp:9", "x_c3"]], rules.places
    assert 'if (!moecRuleIsOff(0) && (a && g("(", b)))' in got, got
    assert 'if ((!moecRuleIsOff(1) && failed(checkShape(op, "x_c2", h(1)))))' in got, got
    assert 'return moecRuleIsOff(2) ? ::llvm::LogicalResult::success() : (checkMore(op, "x_c3"));' in got, got


def run(command, **options):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, **options)


def build(root, binary, work):
    """Compiles guarded dialects and links moe-opt with them; returns it and the rules."""
    rules, steps, archives = Rules(), [], {}
    lines = run(["ninja", "-C", str(binary), "-t", "commands", "bin/moe-opt"]).stdout.splitlines()
    guard = work / "guard.cpp"
    guard.write_text(GUARD_SOURCE, encoding="utf-8")
    for folder, library in DIALECTS.items():
        source = root / "lib/Dialect" / folder / "IR"
        objects = []
        for path in sorted(source.glob("*.cpp")):
            copy = work / f"{library}-{path.name}"
            name = f"{folder}/{path.name}"
            text = path.read_text(encoding="utf-8")
            copy.write_text(text if path.name in TRANSFORMATIONS else rules.guard(name, text),
                            encoding="utf-8")
            (command,) = [line for line in lines if line.endswith(f" -c {path}")]
            before, target = re.match(r"(.*) -o (\S+) -c \S+$", re.sub(
                r" -MD -MT \S+ -MF \S+", "", command)).groups()
            objects.append(f"{copy}.o")
            steps.append(f"{before} -I{source} -o {copy}.o -c {copy}")
        archives[library] = objects
    steps.append(f"{before} -o {guard}.o -c {guard}")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in pool.map(lambda s: run(s, shell=True, cwd=binary), steps):
            if done.returncode:
                sys.exit(f"compiling failed:\n{done.stdout[:4000]}")
    link = lines[-1]
    for library, objects in archives.items():
        archive = work / f"lib{library}.a"
        run(["ar", "crs", str(archive), *objects, f"{guard}.o"])
        link, count = re.subn(rf"\S*/lib(Moec)?{library}\.a", str(archive), link)
        if not count:
            sys.exit(f"moe-opt is not linked with {library}")
    link = re.sub(r"-o bin/moe-opt\b", f"-o {work}/moe-opt", link)
    done = run(link, shell=True, cwd=binary)
    if done.returncode:
        sys.exit(f"linking failed:\n{done.stdout[:4000]}")
    return work / "moe-opt", rules.places


def test_commands(root, opt):
    """Commands of the tests that expect diagnostics, the verifiers' own first."""
    commands = []
    for path in sorted((root / "test/Dialect").glob("*/*.mlir"), key=lambda p: p.stem != "invalid"):
        for line in re.findall(r"^// RUN: moe-opt (.*-verify-diagnostics.*)$",
                               path.read_text(encoding="utf-8"), re.M):
            arguments = shlex.split(line.split("|")[0])
            commands.append([str(opt)] + [str(path) if a == "%s" else a for a in arguments])
    return commands


def survives(rule, commands):
    environment = dict(os.environ, MOEC_RULE_OFF=str(rule))
    return all(run(c, env=environment).returncode == 0 for c in commands)


def main(root, binary, work, chosen):
    self_test()
    opt, places = build(root, binary, work)
    commands = test_commands(root, opt)
    if not survives(-1, commands):
        sys.exit("the tests fail with every rule on")
    rules = [i for i, place in enumerate(places) if not chosen or any(c in place for c in chosen)]
    if not rules:
        sys.exit("no rule has such a name")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        alive = [r for r, yes in zip(rules, pool.map(lambda r: survives(r, commands), rules)) if yes]
    for rule in alive:
        print(f"survives: {places[rule]}")
    print(f"{len(rules)} rules turned off, {len(alive)} not noticed by {len(commands)} tests")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main(*(pathlib.Path(a).resolve() for a in sys.argv[1:4]), sys.argv[4:]))
