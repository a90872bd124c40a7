#!/usr/bin/env python3
"""CPU per request of two builds of mixgate that take turns in one run: the commit before, and this one.

    benches/before.py BEFORE NOW [--rounds 9] [--seconds 3] [--json]

Both stand in front of one `mixgate mock` of NOW; `wrk` asks (Debian package `wrk`). Compare ratios of one run only."""

import argparse, json, os, re, socket, statistics, subprocess, sys, tempfile, time

TICK = os.sysconf("SC_CLK_TCK")
EXPERT = """  - name: {0}
    model: {0}-model
    base_url: http://127.0.0.1:{1}/v1
    price: {{ input_per_1m: 1, output_per_1m: 1 }}
    quality: {{ code: 0.9, general: 0.9, chat: 0.9 }}
    context_window: 100000
"""
PROMPT = "Write a Python function that reverses a list. "
CASES = {
    "whole, short prompt": {"messages": [{"role": "user", "content": PROMPT}]},
    "whole, 2 KiB prompt": {"messages": [{"role": "user", "content": PROMPT * 45}]},
    "streamed": {"messages": [{"role": "user", "content": PROMPT}], "stream": True},
}


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def cpu(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def answers(port):
    for _ in range(200):
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit(f"nothing listens on {port}")


def serve(binary, folder, name, mock):
    port = free_port()
    path = os.path.join(folder, f"{name}.yaml")
    with open(path, "w") as f:
        f.write(f"server: {{ listen: 127.0.0.1:{port}, admin_listen: 127.0.0.1:{free_port()} }}\n"
                f"log: {{ decisions: {folder}/{name}.jsonl }}\npolicies: {{ balanced: {{ tolerance: 0.2 }} }}\n"
                "fallback: large\nexperts:\n" + EXPERT.format("small", mock) + EXPERT.format("large", mock))
    process = subprocess.Popen([binary, "serve", "--config", path], stderr=subprocess.DEVNULL)
    answers(port)
    return process, port


def load(port, body, folder, seconds):
    script = os.path.join(folder, "ask.lua")
    with open(script, "w") as f:
        f.write(f"wrk.method = 'POST'\nwrk.headers['content-type'] = 'application/json'\nwrk.body = [==[{json.dumps(body)}]==]\n")
    ran = subprocess.run(["wrk", "-t1", "-c32", f"-d{seconds}s", "-s", script, f"http://127.0.0.1:{port}/v1/chat/completions"],
                         capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in ran:
        sys.exit(ran)
    return int(re.search(r"(\d+) requests in", ran).group(1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("before")
    parser.add_argument("now")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        mock = subprocess.Popen([args.now, "mock", "--listen", f"127.0.0.1:{port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        kids = [mock]
        try:
            answers(port)
            built = {}
            for name, binary in (("before", args.before), ("now", args.now)):
                built[name] = serve(binary, folder, name, port)
                kids.append(built[name][0])
            for case, fields in CASES.items():
                body = {"model": "auto", **fields}
                costs = {"before": [], "now": []}
                for turn in range(args.rounds + 1):
                    order = list(built) if turn % 2 else list(built)[::-1]
                    for name in order:
                        process, at = built[name]
                        used = cpu(process.pid)
                        requests = load(at, body, folder, args.seconds)
                        if turn:  # the first warms up
                            costs[name].append(1e6 * (cpu(process.pid) - used) / requests)
                ratios = [now / before for before, now in zip(costs["before"], costs["now"])]
                found[case] = {name: statistics.median(all) for name, all in costs.items()}
                found[case]["ratio"] = statistics.median(ratios)
                found[case]["ratios"] = [round(ratio, 3) for ratio in sorted(ratios)]
        finally:
            for kid in kids:
                kid.terminate()
                kid.wait()
    if args.json:
        print(json.dumps(found, indent=1))
        return
    print(f"| CPU per request, µs, median of {args.rounds} turns | before | now | ratio, median of pairs | least and most |\n|---|--:|--:|--:|---|")
    for case, row in found.items():
        print(f"| {case} | {row['before']:.1f} | {row['now']:.1f} | {row['ratio']:.3f} | {row['ratios'][0]:.2f} – {row['ratios'][-1]:.2f} |")


main()
