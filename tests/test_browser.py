"""Notebooks in a real JupyterLab: run all, move and press what there is, see the picture answer, no console error."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
]
SMALL = {
    "00_start_here": {"steps": 900, "burn_in": 100, "thin": 8, "gan_steps": 10, "draws": 40},
    "03_sampler_playground": {"steps": 100, "step_sizes": [0.5], "chains": 2, "measured": 40},
    "06_toy_posteriors": {
        "points": 11,
        "nodes": 11,
        "noises": [0.55, 1.0],
        "sizes": [5, 10],
        "steps": 100,
        "kept": 20,
        "moves": 40,
        "leapfrogs": 3,
        "descent": 20,
        "directions": 8,
        "gan_steps": 3,
        "draws": 10,
        "paper_steps": 100,
        "snapshots": [2, 4],
        "line_steps": 200,
        "line_gan_steps": 3,
    },
    "07_weight_posteriors": {
        "steps": 400,
        "burn_in": 100,
        "thin": 1,
        "mixing_steps": 400,
        "mixing_burn_in": 100,
        "mixing_thin": 1,
        "gan_steps": 4,
        "flow_steps": 2,
        "raw_steps": 1,
        "sizes": [5],
        "draws": 20,
        "tested": 100,
    },
    "11_attack_robustness": {
        "steps": 900,
        "burn_in": 100,
        "thin": 10,
        "sgd_steps": 40,
        "gan_steps": 5,
        "draws": 10,
        "attacked": 20,
        "attack_steps": 4,
        "queries": 10,
        "sizes": [0.05, 0.1],
        "eps": 0.1,
        "shown": 3,
    },
}
CONTROLS = {"06_toy_posteriors": 9, "07_weight_posteriors": 7, "11_attack_robustness": 5}
SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": False},
    "@jupyterlab/notebook-extension:tracker": {"windowingMode": "none"},
}
READY = """() => { const s = window.jupyterapp?.shell.currentWidget?.context?.sessionContext;
    return s?.isReady && s.session?.kernel?.connectionStatus === 'connected' && s.session.kernel.status === 'idle'; }"""
FINISHED = """cells => {
    const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(e => e.textContent);
    const failed = document.querySelector(".jp-OutputArea-output[data-mime-type*='stderr']");
    return failed || (prompts.length >= cells && prompts.every(text => /[0-9]/.test(text))); }"""
CUT = """() => [...document.querySelectorAll('.jp-OutputArea :is(.widget-dropdown, .widget-slider, .widget-image)')]
    .filter(part => { const own = part.getBoundingClientRect();
        const cell = part.closest('.jp-OutputArea-output').getBoundingClientRect();
        const names = [...part.querySelectorAll('.widget-label')];
        return own.width < 60 || own.left < cell.left - 1 || own.right > Math.min(cell.right, innerWidth) + 1
            || names.some(name => name.scrollWidth > name.clientWidth + 1); })
    .map(part => part.innerText || part.className)"""
COUNT = """() => { window.frames = 0; window.lastFrame = 0;
    new MutationObserver(() => { window.frames++; window.lastFrame = performance.now(); })
        .observe(document.querySelector('.jp-OutputArea .widget-image'), {attributeFilter: ['src']}); }"""
ERRORS = ".jp-OutputArea-output[data-mime-type*='stderr']"
PICTURE = ".jp-OutputArea .widget-image"

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium: install it, or name it in CHROMIUM"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Copies of notebooks with small numbers in their parameters cells."""
    place = tmp_path_factory.mktemp("lab")
    for stem, small in SMALL.items():
        book = json.loads((ROOT / "notebooks" / f"{stem}.ipynb").read_text("utf-8"))
        cell = next(c for c in book["cells"] if "parameters" in c["metadata"].get("tags", []))
        cell["source"] = (
            "".join(cell["source"]) + "\n" + "\n".join(f"{name} = {value}" for name, value in small.items())
        )
        (place / f"{stem}.ipynb").write_text(json.dumps(book), "utf-8")
    return place


@pytest.fixture(scope="module")
def address(folder):
    """A JupyterLab on the loopback, with a token and a home of its own."""
    home, token = folder / "home", secrets.token_hex(16)
    (home / "settings").mkdir(parents=True)
    (home / "settings" / "overrides.json").write_text(json.dumps(SETTINGS), "utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {f"JUPYTER_{kind}_DIR": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    env |= {"APDLAB_NOTEBOOKS": str(ROOT / "notebooks"), "APDLAB_RUN_DIR": str(home / "run"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}"]
    command += [
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={folder}",
        "--LabApp.expose_app_in_browser=True",
    ]
    command += [f"--IdentityProvider.token={token}", f"--LabApp.app_settings_dir={home / 'settings'}"]
    with (home / "lab.log").open("w") as log, subprocess.Popen(command, env=env, stdout=log, stderr=log) as lab:
        try:
            wait_for(f"http://127.0.0.1:{port}/api?token={token}", home / "lab.log")
            yield f"http://127.0.0.1:{port}/lab/tree/{{}}.ipynb?token={token}&reset"
        finally:
            lab.terminate()


def wait_for(url, log, seconds=60):
    for _ in range(2 * seconds):
        try:
            return urllib.request.urlopen(url, timeout=2).close()
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text()[-2000:])


@pytest.fixture
def opened(address):
    """Opens a notebook, runs all of it, and gives its page; in the end nothing may have gone wrong."""
    sync_api = pytest.importorskip("playwright.sync_api")
    noise = []

    def run(stem):
        page.goto(address.format(stem), wait_until="commit")
        page.wait_for_function(READY, timeout=90_000)
        page.evaluate("() => { window.jupyterapp.commands.execute('notebook:run-all-cells'); }")
        book = json.loads((ROOT / "notebooks" / f"{stem}.ipynb").read_text("utf-8"))
        cells = sum(cell["cell_type"] == "code" for cell in book["cells"])
        page.wait_for_function(FINISHED, arg=cells, timeout=240_000)
        assert page.locator(ERRORS).all_inner_texts() == []
        return page

    with sync_api.sync_playwright() as play, play.chromium.launch(executable_path=CHROMIUM, args=FLAGS) as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.on("console", lambda message: noise.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: noise.append(str(error)))
        page.on("requestfailed", lambda request: noise.append(request.url))
        yield run
    assert noise == []


def changes(page, act):
    """Act, and wait for another picture."""
    before = page.locator(PICTURE).get_attribute("src")
    act()
    change = f"before => document.querySelector('{PICTURE}').src !== before"
    page.wait_for_function(change, arg=before, timeout=10_000)


def test_quickstart_runs_and_its_sliders_answer(opened):
    page = opened("00_start_here")
    handles = page.locator(".jp-OutputArea .noUi-handle")
    assert handles.count() == 2
    for i in range(2):
        handles.nth(i).focus()
        changes(page, lambda: page.keyboard.press("ArrowRight"))


def test_the_playground_plays_bears_a_moved_slider_and_pauses(opened):
    """It prints how fast it was, and judges no time: ``pytest tests/test_browser.py -k playground -n0 -s``."""
    page = opened("03_sampler_playground")
    page.evaluate(COUNT)
    press = {name: page.get_by_role("button", name=name, exact=True).click for name in ("Play", "Pause", "Step")}
    for _ in range(3):
        changes(page, press["Play"])
    slider = page.locator(".jp-OutputArea .noUi-handle").nth(1)
    slider.focus()
    for key in ("ArrowRight", "ArrowLeft", "ArrowRight"):
        changes(page, lambda key=key: page.keyboard.press(key))
    before, start = page.evaluate("frames"), page.evaluate("performance.now()")
    page.wait_for_timeout(4000)
    pressed = page.evaluate("performance.now()")
    print(f"frames a second: {1e3 * (page.evaluate('frames') - before) / (pressed - start):.1f}")
    pressed = page.evaluate("performance.now()")
    press["Pause"]()
    page.wait_for_timeout(1500)
    print(f"milliseconds from Pause to the last frame: {max(0, page.evaluate('lastFrame') - pressed):.0f}")
    still = page.locator(PICTURE).get_attribute("src")
    page.wait_for_timeout(1000)
    assert page.locator(PICTURE).get_attribute("src") == still
    changes(page, press["Step"])
    assert page.locator(ERRORS).all_inner_texts() == []


@pytest.mark.parametrize("stem", CONTROLS)
def test_every_control_of_an_explorer_changes_its_picture(opened, stem):
    page = opened(stem)
    choices, handles = page.locator(".jp-OutputArea select"), page.locator(".jp-OutputArea .noUi-handle")
    assert choices.count() + handles.count() == CONTROLS[stem]
    for i in range(handles.count()):  # before the lists: a bias, which they lead to, has one unit
        least, now, most = (handles.nth(i).get_attribute(f"aria-value{of}") for of in ("min", "now", "max"))
        assert least != most
        handles.nth(i).focus()
        changes(page, lambda key="ArrowLeft" if now == most else "ArrowRight": page.keyboard.press(key))
    for i in range(choices.count()):
        now, count = choices.nth(i).evaluate("select => [select.selectedIndex, select.length]")
        changes(page, lambda i=i, to=(now + 1) % count: choices.nth(i).select_option(index=to))
    for width in (1920, 1280):
        page.set_viewport_size({"width": width, "height": 1000})
        page.wait_for_timeout(500)
        assert page.evaluate(CUT) == [], width
    assert page.locator(ERRORS).all_inner_texts() == []
