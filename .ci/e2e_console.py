"""The web console in a real headless Chromium: what a person does there, with the keyboard alone where that is the point, and axe's accessibility rules."""

import os
import pathlib
import re
import tempfile

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect as wait_for
from playwright.sync_api import sync_playwright

from e2e_common import equal, expect

VIEWS = ("playground", "pool", "queue", "latency")


def works(url, adapter_folder):
    shots = pathlib.Path(os.environ.get("E2E_SCREENSHOTS") or tempfile.mkdtemp(prefix="polyphon-console-"))
    shots.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=os.environ["CHROMIUM"], args=["--no-sandbox"])
        try:
            context = browser.new_context(viewport={"width": 1280, "height": 860}, color_scheme="light")
            page = context.new_page()
            page.set_default_timeout(20_000)
            wait_for.set_options(timeout=20_000)
            problems, foreign = [], []
            page.on("console", lambda message: message.type == "error" and problems.append(message.text))
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("request", lambda request: request.url.startswith(url) or foreign.append(request.url))
            page.goto(url + "/console")
            wait_for(page.locator("#status")).to_contain_text("connected")
            chat_beside_each_other(page)
            page.screenshot(path=shots / "playground.png")
            everything_by_keyboard(page)
            load_and_unload(page, adapter_folder)
            upload(page, adapter_folder)
            numbers_are_live(page, shots)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                for view in VIEWS:
                    page.goto(f"{url}/console#{view}")
                    is_accessible(page, f"{view} in {scheme}")
                    page.screenshot(path=shots / f"{view}-{scheme}.png", full_page=True)
            fits_a_phone(page, url, shots)
            refusals_are_shown(page, url, problems)
            equal(foreign, [], "requests to elsewhere")
            equal(problems, [], "errors in the browser")
            an_inline_script_does_not_run(page)
        finally:
            browser.close()


def chat_beside_each_other(page):
    models = page.locator(".model")
    expect(models.nth(0).input_value() and models.nth(1).input_value(), "no models are chosen")
    models.nth(1).fill("spanish")
    page.locator("#tokens").fill("24")
    page.locator("#message").fill("What is the capital of France?")
    page.locator("#message").press("Enter")
    for side, wanted in ((0, "Paris"), (1, "capital")):
        wait_for(page.locator(".log").nth(side).locator(".assistant")).to_contain_text(wanted)
        wait_for(page.locator(".figures").nth(side)).to_contain_text(re.compile(r"\d+ tokens, first after \d+ ms"))
    left, right = page.locator(".assistant").all_text_contents()
    expect(left != right, "base and adapter say the same")
    # The conversation goes on, and can be stopped.
    page.locator("#tokens").fill("2000")
    page.locator("#message").fill("Tell a very long story.")
    page.get_by_role("button", name="Send").click()
    wait_for(page.locator(".log").nth(0).locator(".assistant").nth(1)).not_to_be_empty()
    page.get_by_role("button", name="Stop").click()
    wait_for(page.locator(".figures").nth(0)).to_have_text("stopped")


def everything_by_keyboard(page):
    """From the top of the page, Tab reaches the skip link, every view, and the fields in their order; what has the focus shows it."""
    page.reload()
    wait_for(page.locator("#status")).to_contain_text("connected")
    reached = []
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        reached.append(page.evaluate("(document.activeElement.textContent.trim() || document.activeElement.id || document.activeElement.className).slice(0, 30)"))
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        expect(outline != "none", f"{reached[-1]} does not show that it has the focus")
    for wanted in ("Skip to the content", "Playground", "Pool", "Queue", "Latency", "message", "Send"):
        expect(wanted in reached, f"Tab does not reach {wanted}: {reached}")
    page.get_by_role("link", name="Pool").focus()
    page.keyboard.press("Enter")
    wait_for(page.get_by_role("heading", name="Adapter pool")).to_be_visible()
    wait_for(page.get_by_role("heading", name="Playground")).to_be_hidden()


def load_and_unload(page, folder):
    page.locator("#load-name").fill("from-console")
    page.locator("#load-folder").fill("/nowhere")
    page.get_by_role("button", name="Add adapter").click()
    wait_for(page.locator("#load-result")).to_contain_text("no such folder")
    page.locator("#load-folder").fill(str(folder))
    page.get_by_role("button", name="Add adapter").click()
    wait_for(page.locator("#load-result")).to_contain_text("Success")
    page.locator("#find").fill("from-con")
    line = page.locator("#adapters tr")
    wait_for(line).to_have_count(1)
    wait_for(line).to_contain_text("loaded")
    page.get_by_role("button", name="Unload from-console").click()
    wait_for(line).to_have_count(0)
    page.locator("#find").fill("")


def upload(page, folder):
    """The files of an adapter from this machine; and what is none, or has a name that is taken, is refused in words."""
    files = [str(file) for file in pathlib.Path(folder).iterdir()]
    page.locator("#upload-name").fill("uploaded")
    page.locator("#upload-files").set_input_files([file for file in files if file.endswith(".safetensors")])
    page.get_by_role("button", name="Upload adapter").click()
    wait_for(page.locator("#upload-result")).to_contain_text("adapter_config.json")
    page.locator("#upload-files").set_input_files(files)
    page.get_by_role("button", name="Upload adapter").click()
    wait_for(page.locator("#upload-result")).to_contain_text(re.compile(r"uploaded is there, version [0-9a-f]{8}"))
    page.locator("#find").fill("uploaded")
    line = page.locator("#adapters tr")
    wait_for(line).to_have_count(1)
    wait_for(line).to_contain_text("loaded")
    page.locator("#upload-name").fill("uploaded")
    page.locator("#upload-files").set_input_files(files)
    page.get_by_role("button", name="Upload adapter").click()
    wait_for(page.locator("#upload-result")).to_contain_text("uploaded")
    wait_for(page.locator("#upload-result.bad")).to_be_visible()
    page.get_by_role("button", name="Unload uploaded").click()
    wait_for(line).to_have_count(0)
    page.locator("#find").fill("")


def numbers_are_live(page, shots):
    """What the views show moves with the server: the load before has been counted, and a request under way is seen."""
    page.get_by_role("link", name="Queue").click()
    wait_for(page.locator("#tenants tr").first).to_contain_text("default")
    page.evaluate("""() => { for (let i = 0; i < 3; i++) fetch("/v1/completions", {method: "POST", headers: {"Content-Type": "application/json"},
        body: JSON.stringify({model: "spanish", prompt: "Uno", max_tokens: 500, ignore_eos: true})}); }""")
    wait_for(page.locator("#tenants tr td:nth-child(3)").first).not_to_have_text("0")
    wait_for(page.locator("#tenants meter").first).to_have_attribute("value", "1")
    page.get_by_role("link", name="Latency").click()
    wait_for(page.locator("#classes")).to_contain_text("lora", timeout=60_000)
    wait_for(page.locator("#latency-plots polyline").first).to_be_attached(timeout=60_000)
    page.screenshot(path=shots / "latency.png")


def is_accessible(page, what):
    page.wait_for_timeout(300)
    found = Axe().run(page).response["violations"]
    equal([(rule["id"], [node["target"] for node in rule["nodes"]][:3]) for rule in found], [], f"accessibility violations of {what}")


def fits_a_phone(page, url, shots):
    page.set_viewport_size({"width": 390, "height": 800})
    for view in VIEWS:
        page.goto(f"{url}/console#{view}")
        wide = page.evaluate("document.documentElement.scrollWidth")
        expect(wide <= 390, f"{view} is {wide} wide on a phone")
    page.goto(f"{url}/console#playground")
    page.screenshot(path=shots / "phone.png")
    page.set_viewport_size({"width": 1280, "height": 860})


def refusals_are_shown(page, url, problems):
    page.goto(f"{url}/console#playground")
    page.locator(".model").nth(0).fill("nobody")
    page.locator("#message").fill("Hello")
    page.locator("#message").press("Enter")
    wait_for(page.locator(".log .bad").first).to_contain_text("does not exist")
    # The browser logs the refusal itself, and those of adapters that were not there, or not to be had.
    problems[:] = [problem for problem in problems if not re.search("status of (400|404|409|422)", problem)]


def an_inline_script_does_not_run(page):
    ran = page.evaluate("""() => { const script = document.createElement("script"); script.textContent = "window.ran = true";
        document.body.append(script); return window.ran === true; }""")
    expect(not ran, "the policy lets an inline script run")
