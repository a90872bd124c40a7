#!/usr/bin/env python3
"""Makes the Grafana dashboards beside this file.

    python3 dashboards/make.py           writes overview.json, money.json, routing.json
    python3 dashboards/make.py --check   fails where a committed file differs

A panel is one call below: title, what it shows, what to do when it looks bad, unit, queries. Places on the grid, ids
and everything that Grafana wants besides are worked out here. Python's standard library only; the same input gives
the same bytes.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCHEMA = 41
SOURCE = {"type": "prometheus", "uid": "${datasource}"}

# What the variables select. Series of the gateway as a whole have no expert.
I = 'instance=~"$instance"'
X = 'instance=~"$instance", expert=~"$expert"'
W = "[$__rate_interval]"
USD = "currencyUSD"
GREEN, YELLOW, RED, BLUE = "green", "yellow", "red", "blue"


# ---- pieces of panels


def query(expr, legend="", instant=False, form="time_series"):
    return {"expr": expr, "legend": legend, "instant": instant, "format": form}


def quantiles(family, labels, by=""):
    """p50, p95 and p99 of a histogram."""
    group = f"le, {by}" if by else "le"
    inner = f"sum by ({group}) (rate(mixgate_{family}_bucket{{{labels}}}{W}))"
    suffix = f" {{{{{by}}}}}" if by else ""
    return [query(f"histogram_quantile({q}, {inner})", f"p{name}{suffix}") for q, name in
            ((0.5, "50"), (0.95, "95"), (0.99, "99"))]


def steps(*pairs):
    """Thresholds: a colour from each value on; the first has none."""
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for value, color in pairs]}


ALWAYS = steps((None, GREEN))
RED_UNLESS_ZERO = steps((None, RED), (0, GREEN), (1e-9, RED))


class Panel:
    """A panel of the dashboard in the making."""

    def __init__(self, kind, title, shows, bad, unit, queries, width=8, height=8, **more):
        self.kind, self.title, self.unit = kind, title, unit
        self.description = f"{shows} {bad}"
        self.queries = [queries] if isinstance(queries, dict) else queries
        self.width, self.height, self.more = width, height, more

    def json(self, number, x, y):
        defaults = {"unit": self.unit, "thresholds": self.more.get("thresholds", ALWAYS)}
        defaults.update(self.more.get("defaults", {}))
        panel = {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.description,
            "datasource": SOURCE,
            "gridPos": {"x": x, "y": y, "w": self.width, "h": self.height},
            "fieldConfig": {"defaults": defaults, "overrides": self.more.get("overrides", [])},
            "options": self.more.get("options", {}),
            "targets": [target(place, query) for place, query in enumerate(self.queries)],
        }
        if "transformations" in self.more:
            panel["transformations"] = self.more["transformations"]
        return panel


class Row:
    """A headline over panels."""

    def __init__(self, title):
        self.title, self.width, self.height = title, 24, 1

    def json(self, number, x, y):
        place = {"x": x, "y": y, "w": 24, "h": 1}
        return {"id": number, "type": "row", "title": self.title, "collapsed": False, "gridPos": place, "panels": []}


def target(place, query):
    return {
        "refId": chr(ord("A") + place),
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": query["expr"],
        "legendFormat": query["legend"] or "__auto",
        "format": query["format"],
        "instant": query["instant"],
        "range": not query["instant"],
    }


def lines(title, shows, bad, unit, queries, stacked=False, threshold=None, **more):
    """Lines over time; `threshold`: where the alert stands."""
    custom = {
        "drawStyle": "line",
        "lineWidth": 1,
        "fillOpacity": 30 if stacked else 8,
        "showPoints": "never",
        "spanNulls": False,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if threshold is not None else "off"},
    }
    defaults = {"custom": custom, "color": {"mode": "palette-classic"}}
    defaults.update(more.pop("defaults", {}))
    if threshold is not None:
        more["thresholds"] = steps((None, GREEN), (threshold, RED))
    options = {
        "legend": {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["lastNotNull", "max"]},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    return Panel("timeseries", title, shows, bad, unit, queries, defaults=defaults, options=options, **more)


def stat(title, shows, bad, unit, expr, legend="", width=4, height=4, instant=True, graph=False, **more):
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "value",
        "graphMode": "area" if graph else "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": more.pop("text", "auto"),
    }
    queries = query(expr, legend, instant=instant and not graph)
    more.setdefault("defaults", {}).setdefault("color", {"mode": "thresholds"})
    return Panel("stat", title, shows, bad, unit, queries, width, height, options=options, **more)


def table(title, shows, bad, unit, queries, transformations, **more):
    queries = [query(expr, legend, instant=True, form="table") for expr, legend in queries]
    options = {"cellHeight": "sm", "showHeader": True}
    return Panel("table", title, shows, bad, unit, queries, options=options, transformations=transformations, **more)


def heatmap(title, shows, bad, family):
    """How a histogram's observations lie, over time."""
    expr = f"sum by (le) (increase(mixgate_{family}_bucket{{{I}}}{W}))"
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": {"mode": "scheme", "scheme": "Blues", "steps": 64, "reverse": False, "exponent": 0.5, "fill": "blue"},
        "filterValues": {"le": 1e-9},
        "rowsFrame": {"layout": "auto"},
        "yAxis": {"axisPlacement": "left", "unit": "percentunit", "reverse": False},
        "legend": {"show": True},
        "tooltip": {"mode": "single", "showColorScale": False, "yHistogram": True},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "showValue": "never",
    }
    queries = query(expr, "{{le}}", form="heatmap")
    return Panel("heatmap", title, shows, bad, "short", queries, 12, options=options)


def column(name, **properties):
    """What a column of a table is like, by its name."""
    return {
        "matcher": {"id": "byName", "options": name},
        "properties": [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()],
    }


def merged(names):
    """Several instant queries side by side, one row per label set; `names`: column by letter of its query."""
    rename = {f"Value #{letter}": name for letter, name in names.items()}
    hide = {"Time": True}
    return [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": hide, "indexByName": {}, "renameByName": rename}},
    ]


# ---- the overview


def overview():
    requests = f"mixgate_requests_total{{{X}}}"
    lost = f'mixgate_requests_total{{{X}, outcome=~"upstream_error|timeout|rejected"}}'
    return [
        Row("At a glance"),
        stat("Requests", "Requests a second, all outcomes.",
             "Falls to nothing: look whether clients reach the gateway, at /health of its data address.",
             "reqps", f"sum(rate({requests}{W}))", graph=True),
        stat("Lost", "Share of requests that end in upstream_error, timeout or rejected.",
             "Above 0.5 %: the objective is missed; see the next row for outcome and expert, and the runbook of "
             "MixgateErrorBudgetFast.",
             "percentunit", f"(sum(rate({lost}{W})) or vector(0)) / (sum(rate({requests}{W})) > 0)", graph=True,
             thresholds=steps((None, GREEN), (0.005, YELLOW), (0.03, RED))),
        stat("Error budget burn, 1 h",
             "How many times faster than allowed the error budget was spent in the last hour; over all instances. "
             "Needs the recording rules.",
             "Above 1 it will not last; above 14.4 MixgateErrorBudgetFast pages.",
             "none", "mixgate:requests_lost:ratio_rate1h / mixgate:error_budget", graph=True,
             thresholds=steps((None, GREEN), (1, YELLOW), (14.4, RED)), defaults={"decimals": 1}),
        stat("First token, p95", "One answer in twenty begins later than this.",
             "Above 5 s: see below which expert it is.",
             "s", f"histogram_quantile(0.95, sum by (le) (rate(mixgate_time_to_first_token_seconds_bucket{{{X}}}{W})))",
             graph=True, thresholds=steps((None, GREEN), (2, YELLOW), (5, RED))),
        stat("Endpoints out", "Endpoints whose circuit is open or half open.",
             "Not 0: see the circuits below, and the runbook of MixgateExpertDown.",
             "short", f"count(mixgate_circuit_state{{{X}}} > 0) or vector(0)", thresholds=RED_UNLESS_ZERO),
        stat("Instances", "Instances that were scraped.",
             "Fewer than you run: see the runbook of MixgateNotScraped.",
             "short", f"count(mixgate_build_info{{{I}}})"),

        Row("Traffic"),
        lines("Requests by outcome", "How requests end.",
              "upstream_error and timeout: an upstream; rejected: too many at once, or draining; client_error: look at "
              "one in /api/decisions; cancelled: clients who did not want to wait.",
              "reqps", query(f"sum by (outcome) (rate({requests}{W}))", "{{outcome}}"), stacked=True),
        lines("Requests by expert", "Who answers; `none`: nobody was asked.",
              "All at the fallback: see the reasons in the routing board.",
              "reqps", query(f"sum by (expert) (rate({requests}{W}))", "{{expert}}"), stacked=True),
        lines("Not ok, by expert and outcome", "The requests that did not end well.",
              "One expert: mend it or take it out; all of them: look at the gateway's own network and limits.",
              "reqps", query(f'sum by (expert, outcome) (rate(mixgate_requests_total{{{X}, outcome!="ok"}}{W}))',
                             "{{expert}} {{outcome}}"), stacked=True),

        Row("Times"),
        lines("Latency", "From the first byte of a request to the last of its answer.",
              "Rises with the time to first token: upstreams are busy; without it: answers have become longer.",
              "s", quantiles("request_duration_seconds", X)),
        lines("Time to first token", "Until the first meaningful byte of an answer; whole answers begin when they are "
              "whole.",
              "High: see by expert, then lower its max_concurrency or add endpoints.",
              "s", quantiles("time_to_first_token_seconds", X), threshold=5),
        lines("Time per output token", "Between the tokens of a streamed answer, mean per request.",
              "Rises: the model's server is shared by too many; lower max_concurrency.",
              "s", quantiles("time_per_output_token_seconds", X)),
        lines("Time to first token by expert, p95", "The same per expert.",
              "Above 5 s for 10 minutes MixgateFirstTokenSlow fires: its server is overloaded or far away.",
              "s", query(f"histogram_quantile(0.95, sum by (le, expert) "
                         f"(rate(mixgate_time_to_first_token_seconds_bucket{{{X}}}{W})))", "{{expert}}"), threshold=5),
        lines("Latency by expert, p95", "One request in twenty takes longer, per expert.",
              "One expert stands out: long answers, or a slow server; compare with its time per token.",
              "s", query(f"histogram_quantile(0.95, sum by (le, expert) "
                         f"(rate(mixgate_request_duration_seconds_bucket{{{X}}}{W})))", "{{expert}}")),
        lines("Gateway overhead", "The gateway's own time in a request: reading, deciding, handing on.",
              "p99 above 5 ms: short of CPU, or very large prompts; see the runbook of MixgateOverheadHigh.",
              "s", quantiles("overhead_seconds", I), threshold=0.005),

        Row("Load"),
        lines("In flight", "Requests that are being answered, by expert.",
              "Flat at max_concurrency: the expert is full and the rest goes to the next candidate.",
              "short", query(f"sum by (expert) (mixgate_in_flight_requests{{{X}}})", "{{expert}}")),
        lines("Client connections", "Open connections of clients, per instance.",
              "Much above the requests in flight: clients do not reuse connections, or leave them open.",
              "short", query(f"mixgate_client_connections{{{I}}}", "{{instance}}")),
        lines("CPU", "Cores that the process uses, per instance.",
              "Near the cores it has: latency rises and decisions miss their deadline; add an instance.",
              "short", query(f"rate(process_cpu_seconds_total{{{I}}}{W}) and on (instance) mixgate_build_info",
                             "{{instance}}")),

        Row("Upstreams"),
        lines("Attempts by outcome", "Calls to endpoints; a request can make several.",
              "Not ok: the next panel says where, `attempts` in /api/decisions says what was answered.",
              "cps", query(f"sum by (outcome) (rate(mixgate_upstream_attempts_total{{{X}}}{W}))", "{{outcome}}"),
              stacked=True),
        lines("Failed attempts by endpoint", "Calls that gave no answer, by endpoint and outcome.",
              "One endpoint of several: take it out; all of an expert: mend its server.",
              "cps", query(f'sum by (expert, endpoint, outcome) '
                           f'(rate(mixgate_upstream_attempts_total{{{X}, outcome!="ok"}}{W}))',
                           "{{expert}} {{endpoint}} {{outcome}}"), stacked=True),
        Panel("state-timeline", "Circuits",
              "Whether an endpoint is asked: closed, it is; half open, one request tries; open, it is not.",
              "Open for 10 minutes: see the runbook of MixgateCircuitOpenLong. Half open for long: nobody asks for it.",
              "none", query(f"max by (expert, endpoint) (mixgate_circuit_state{{{X}}})", "{{expert}} {{endpoint}}"),
              thresholds=steps((None, GREEN), (1, YELLOW), (2, RED)),
              defaults={
                  "color": {"mode": "thresholds"},
                  "custom": {"fillOpacity": 70, "lineWidth": 0},
                  "mappings": [{"type": "value", "options": {
                      "0": {"text": "closed", "index": 0},
                      "1": {"text": "half open", "index": 1},
                      "2": {"text": "open", "index": 2},
                  }}],
              },
              options={
                  "alignValue": "left", "mergeValues": True, "rowHeight": 0.8, "showValue": "auto",
                  "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
                  "tooltip": {"mode": "single", "sort": "none"},
              }),

        Row("Experts and error budget"),
        table("Experts",
              "Per expert over all instances: requests a second and p95 of 5 minutes; money per hour of the last hour. "
              "Needs the recording rules.",
              "Sort by a column to find the one that is slow, dear, or saves nothing.",
              "short",
              [("sum by (expert) (mixgate:requests:rate5m)", ""),
               ("max by (expert) (mixgate:time_to_first_token_seconds:p95_rate5m)", ""),
               ("max by (expert) (mixgate:request_duration_seconds:p95_rate5m)", ""),
               ("max by (expert) (mixgate:cost_usd_per_hour:rate1h)", ""),
               ("max by (expert) (mixgate:saved_usd_per_hour:rate1h)", "")],
              merged({"A": "requests", "B": "first token p95", "C": "latency p95", "D": "cost / h", "E": "saved / h"}),
              width=12,
              overrides=[column("requests", unit="reqps"), column("first token p95", unit="s"),
                         column("latency p95", unit="s"), column("cost / h", unit=USD, decimals=4),
                         column("saved / h", unit=USD, decimals=4)]),
        lines("Error budget burn",
              "Lost requests against what the objective allows, over four windows and all instances; 1 spends a "
              "month's budget in a month. Needs the recording rules.",
              "5 m and 1 h above 14.4 page, 30 m and 6 h above 6 make a ticket.",
              "none",
              [query(f"mixgate:requests_lost:ratio_rate{window} / on () mixgate:error_budget", window)
               for window in ("5m", "1h", "30m", "6h")], width=12),
        stat("Configuration", "1: the last reload worked, everywhere; 0: a file was refused somewhere.",
             "0: run mixgate check on the file; see the runbook of MixgateReloadFailed.",
             "none", f"min(mixgate_config_last_reload_success{{{I}}})", width=6,
             thresholds=steps((None, RED), (1, GREEN))),
        stat("Decision records lost", "Records that were dropped in the shown time because the log stood still.",
             "Not 0: a full disk or a pipe nobody reads; see the runbook of MixgateDecisionLogDropped.",
             "short", f"sum(increase(mixgate_decision_log_dropped_total{{{I}}}[$__range]))", width=6,
             thresholds=RED_UNLESS_ZERO),
        stat("Stale connections", "Idle upstream connections that had died and were replaced, in the shown time.",
             "Many: something between here and the upstream drops idle connections sooner than it says; it costs "
             "only time.",
             "short", f"sum(increase(mixgate_stale_connections_total{{{X}}}[$__range])) or vector(0)", width=6),
        stat("Memory", "Resident memory of the largest instance.",
             "Grows without end: restart it, and report it with the versions of the routing board.",
             "bytes", f"max(process_resident_memory_bytes{{{I}}} and on (instance) mixgate_build_info)", width=6),
    ]


# ---- money


def money():
    cost = f"mixgate_cost_usd_total{{{X}}}"
    baseline = f"mixgate_baseline_cost_usd_total{{{X}}}"
    saved = f"mixgate_saved_usd{{{X}}}"
    requests = f"mixgate_requests_total{{{X}}}"
    rated = f'rate(mixgate_tokens_total{{{I}, kind=~"input|output"}}[1h]) and on (instance, expert) ' \
            f"(mixgate_baseline_cost_usd_total > 0)"
    # what a token costs at the fallback, as the traffic of the last hour mixes input and output
    token_price = f"scalar(sum(rate(mixgate_baseline_cost_usd_total{{{I}}}[1h])) / sum({rated}))"
    rent = f"max by (expert) (mixgate_hosting_usd_per_hour{{{X}}})"
    hosted_tokens = f'3600 * sum by (expert) (rate(mixgate_tokens_total{{{X}, kind=~"input|output"}}[1h])) ' \
                    f"and on (expert) mixgate_hosting_usd_per_hour"
    in_range = "[$__range]"
    red_below = steps((None, RED), (0, GREEN))

    def over(family):
        return f"sum(increase({family}{in_range}))"

    return [
        Row("Since the instances started, to the micro-dollar"),
        stat("Cost", "What tokens have cost since the instances started, attempts thrown away included.",
             "More than you expect: see by expert below. Hosting is not in it.",
             USD, f"sum({cost})", width=6, defaults={"decimals": 6}),
        stat("Baseline", "What the same tokens would have cost at the fallback.",
             "0 with traffic: the fallback has no price, and nothing can be compared.",
             USD, f"sum({baseline})", width=6, defaults={"decimals": 6}),
        stat("Saved", "Baseline less all cost, as booked request by request.",
             "Negative: see the runbook of MixgateSavingsNegative. Hosting is not taken off.",
             USD, f"sum({saved})", width=6, thresholds=red_below, defaults={"decimals": 6}),
        stat("Saved, as a share", "What of the baseline was saved.",
             "Falls: more requests go to the fallback; the reasons in the routing board say why.",
             "percentunit", f"sum({saved}) / (sum({baseline}) > 0)", width=6, thresholds=red_below,
             defaults={"decimals": 1}),

        Row("In the shown time"),
        stat("Cost in this time", "Cost of tokens in the shown time, from the growth of the counters: survives "
             "restarts, misses what fell between two scrapes of a start.",
             "More than you expect: see by expert below.",
             USD, over(cost)),
        stat("Baseline in this time", "What the same tokens would have cost at the fallback.",
             "0 with traffic: the fallback has no price.", USD, over(baseline)),
        stat("Saved in this time", "Baseline less cost.",
             "Negative: see the runbook of MixgateSavingsNegative.",
             USD, f"{over(baseline)} - {over(cost)}", thresholds=red_below),
        stat("Paid and thrown away", "Cost of attempts that were billed and gave no usable answer.",
             "Not near 0: an expert answers with status 200 and nonsense; the panel by expert says which.",
             USD, f'sum(increase(mixgate_cost_usd_total{{{X}, kind="retried"}}{in_range}))',
             thresholds=steps((None, GREEN), (1e-6, YELLOW))),
        stat("Unpriced answers", "Answers of experts without a price: in no sum on this board.",
             "Not 0: the sums leave something out; give the expert a price. Runbook: MixgateUnpriced.",
             "short", over(f"mixgate_unpriced_requests_total{{{X}}}"), thresholds=RED_UNLESS_ZERO),
        stat("Usage missing", "Answers whose upstream sent no usage, also those that broke off: their tokens are "
             "estimates.",
             "Many: the server does not send usage; turn it on. Runbook: MixgateUsageMissing.",
             "short", over(f"mixgate_usage_missing_total{{{X}}}"), thresholds=RED_UNLESS_ZERO),

        Row("Per hour"),
        lines("Cost, baseline, saved", "US dollars per hour; saved is baseline less cost.",
              "Cost above baseline: routing loses money; see the runbook of MixgateSavingsNegative.",
              USD,
              [query(f"3600 * sum(rate({cost}{W}))", "cost"), query(f"3600 * sum(rate({baseline}{W}))", "baseline"),
               query(f"3600 * (sum(rate({baseline}{W})) - sum(rate({cost}{W})))", "saved")], width=12),
        lines("A day at this pace, and what was set",
              "Tokens and hosting of the last hour and of six, times what a day has of them; over all instances. "
              "Needs the recording rules.",
              "Both above the line: MixgateSpendAboveBudget. Set the amount in recording.yaml.",
              USD,
              [query("mixgate:spend_usd_per_day:pace1h", "pace of 1 h"),
               query("mixgate:spend_usd_per_day:pace6h", "pace of 6 h"),
               query("mixgate:budget_usd_per_day", "set")], width=12),
        lines("Per 1,000 requests", "Cost, baseline and saved of a thousand requests.",
              "Cost rises without more requests: answers are longer, or the fallback gets more of them.",
              USD,
              [query(f"1000 * sum(rate({cost}{W})) / (sum(rate({requests}{W})) > 0)", "cost"),
               query(f"1000 * sum(rate({baseline}{W})) / (sum(rate({requests}{W})) > 0)", "baseline"),
               query(f"1000 * (sum(rate({baseline}{W})) - sum(rate({cost}{W}))) / (sum(rate({requests}{W})) > 0)",
                     "saved")], width=12),
        lines("Saved, as a share, over time", "What of the baseline is saved.",
              "Falls: the reasons in the routing board say why more goes to the fallback.",
              "percentunit",
              query(f"1 - sum(rate({cost}{W})) / (sum(rate({baseline}{W})) > 0)", "saved"), width=12),

        Row("By expert"),
        lines("Cost by expert", "US dollars per hour; an attempt thrown away is on the expert that failed.",
              "One grows: more requests, or longer answers? Compare with its tokens.",
              USD, query(f"3600 * sum by (expert) (rate({cost}{W}))", "{{expert}}"), stacked=True),
        lines("Saved by expert", "Baseline less cost per hour.",
              "Below 0: dearer than the fallback for these tokens; check its price.",
              USD, query(f"3600 * (sum by (expert) (rate({baseline}{W})) - sum by (expert) (rate({cost}{W})))",
                         "{{expert}}")),
        lines("Paid and thrown away by expert", "Cost of attempts without a usable answer, per hour.",
              "One expert: it answers with status 200 and nonsense; mend it or take it out.",
              USD, query(f'3600 * sum by (expert) (rate(mixgate_cost_usd_total{{{X}, kind="retried"}}{W}))',
                         "{{expert}}"), stacked=True),
        table("Money by expert",
              "Since the instances started. Saved is as booked: what an attempt of another expert cost is taken off "
              "the one that answered in the end.",
              "Negative: dearer than the fallback, or it mends what others break.",
              USD,
              [(f"sum by (expert) ({cost})", ""), (f"sum by (expert) ({baseline})", ""),
               (f"sum by (expert) ({saved})", ""), (f"sum by (expert) ({requests})", "")],
              merged({"A": "cost", "B": "baseline", "C": "saved", "D": "requests"}),
              overrides=[column("requests", unit="short", decimals=0)], defaults={"decimals": 6}),
        lines("Tokens", "Tokens a second by kind; cached_input is part of input, reasoning part of output.",
              "reasoning outgrows output: a reasoning model has slipped in; cached_input falls to 0: prompts have "
              "lost their common beginning.",
              "short", query(f"sum by (kind) (rate(mixgate_tokens_total{{{X}}}{W}))", "{{kind}}")),
        lines("Decisions by domain",
              "Cost is not booked by domain; this is where the requests come from. Read it beside cost by expert.",
              "A domain grows that only the fallback takes: an expert for it would pay.",
              "reqps", query(f"sum by (domain) (rate(mixgate_route_decisions_total{{{X}}}{W}))", "{{domain}}"),
              stacked=True),

        Row("Own servers"),
        lines("Tokens and hosting", "What the last hour cost: its tokens, and servers that are paid used or not.",
              "Hosting outweighs tokens and the next panel is below its line: rent less.",
              USD,
              [query(f"3600 * sum(rate({cost}[1h]))", "tokens"), query(f"sum({rent})", "hosting")]),
        lines("What own servers are worth",
              "Per hosted expert and hour: its rent, and what its tokens of the last hour would cost at the "
              "fallback's mean price per token.",
              "Worth below rent: give it more traffic (quality figures, tolerance), or give it up.",
              USD,
              [query(rent, "{{expert}} rent"), query(f"({hosted_tokens}) * {token_price}", "{{expert}} worth")]),
        lines("Tokens against break-even",
              "Per hosted expert: tokens of the last hour, and how many an hour would pay its rent.",
              "Far below break-even for days: the rent is not earned.",
              "short",
              [query(hosted_tokens, "{{expert}} tokens / h"),
               query(f"{rent} / {token_price}", "{{expert}} break-even")]),
    ]


# ---- routing


def routing():
    decisions = f"mixgate_route_decisions_total{{{X}}}"
    matrix = [
        {"id": "groupingToMatrix", "options": {
            "rowField": "domain", "columnField": "expert", "valueField": "Value", "emptyValue": "null"}},
        {"id": "organize", "options": {
            "excludeByName": {}, "indexByName": {}, "renameByName": {"domain\\expert": "domain"}}},
    ]
    cell = {"custom": {"cellOptions": {"type": "color-background", "mode": "gradient"}, "align": "right"},
            "color": {"mode": "continuous-BlPu"}, "decimals": 0}
    pair = [{"id": "organize", "options": {
        "excludeByName": {"Time": True}, "indexByName": {"from": 0, "to": 1, "reason": 2, "Value": 3},
        "renameByName": {"Value": "requests"}}}]
    graded = f"mixgate_feedback_score_count{{{X}}}"
    return [
        Row("Where requests go"),
        table("Domain by expert", "Decisions in the shown time: rows are domains, columns the experts that answered.",
              "A domain sits at the fallback though an expert claims it: look at the reasons; `mixgate route` explains "
              "one prompt.",
              "short", [(f"sum by (domain, expert) (increase({decisions}[$__range]))", "")], matrix,
              width=12, height=12, defaults=cell,
              overrides=[column("domain", custom__cellOptions={"type": "auto"}, custom__align="left")]),
        lines("Reasons", "Why the expert that answered did so.",
              "low_confidence, out_of_distribution: the router does not know these prompts, recalibrate; "
              "upstream_failure, capacity: an upstream; deadline, router_error: the gateway.",
              "reqps", query(f"sum by (reason) (rate({decisions}{W}))", "{{reason}}"), stacked=True, width=12,
              height=12),
        lines("Domains", "What prompts are about.",
              "A sudden change is another client or another use; quality figures may not hold for it.",
              "reqps", query(f"sum by (domain) (rate({decisions}{W}))", "{{domain}}"), stacked=True, width=12),
        lines("Experts", "Who answers, by decision.",
              "All at the fallback: see the reasons.",
              "reqps", query(f"sum by (expert) (rate({decisions}{W}))", "{{expert}}"), stacked=True, width=12),

        Row("How sure the router is"),
        heatmap("Confidence", "Probability of the likeliest domain, how often which; darker is more often.",
                "Wanders down: prompts have become less like those it was trained on; grade some and recalibrate.",
                "route_confidence"),
        heatmap("Out-of-distribution score", "How unlike anything known prompts are, 0 to 1; darker is more often.",
                "Wanders up: the traffic has changed; see the runbook of MixgateOutOfDistributionSurge.",
                "route_ood_score"),
        lines("Out of distribution, against its week",
              "Share of decisions with this reason in an hour, and the mean of the past week; over all instances. "
              "Needs the recording rules.",
              "Twice its week: the traffic has changed; look at the prompts, then recalibrate.",
              "percentunit",
              [query("mixgate:decisions_out_of_distribution:ratio_rate1h", "last hour"),
               query("mixgate:decisions_out_of_distribution:ratio_avg1w", "week")]),
        lines("Not scored", "Share of decisions that missed their deadline or failed; over all instances. Needs the "
              "recording rules.",
              "Above 1 %: short of CPU or a broken model; see the runbook of MixgateDecisionsUnscored.",
              "percentunit", query("mixgate:decisions_unscored:ratio_rate5m", "not scored"), threshold=0.01),
        lines("Decision time", "Time of one classification.",
              "Near router.deadline: the gateway is short of CPU, or prompts are very long.",
              "s", quantiles("route_duration_seconds", I)),

        Row("Passed on"),
        lines("Fallbacks", "Requests that went on to the next candidate, from → to, a second.",
              "capacity: raise max_concurrency or add endpoints; upstream_failure: mend the expert on the left.",
              "reqps",
              query(f'sum by (from, to, reason) (rate(mixgate_fallbacks_total{{{I}, from=~"$expert"}}{W}))',
                    "{{from}} → {{to}} {{reason}}"), stacked=True, width=12),
        table("Fallbacks in this time", "From → to, why, how often, in the shown time.",
              "One pair stands out: the expert on the left fails or is full; see the runbook of MixgateFallbackSurge.",
              "short",
              [(f'sum by (from, to, reason) (increase(mixgate_fallbacks_total{{{I}, from=~"$expert"}}[$__range])) > 0',
                "")],
              pair, width=12, defaults={"decimals": 0}),

        Row("What people make of it"),
        lines("Feedback score", "Mean of the grades that were posted, 0 to 1, by expert; `unknown`: the decision was no "
              "longer remembered.",
              "An expert falls below the fallback: its quality figures promise too much; calibrate with these grades.",
              "percentunit",
              query(f"sum by (expert) (rate(mixgate_feedback_score_sum{{{X}}}{W})) "
                    f"/ (sum by (expert) (rate({graded}{W})) > 0)", "{{expert}}")),
        lines("Grades", "How many grades come in, a minute.",
              "None: nobody posts to /api/feedback, and quality is only what the configuration says.",
              "short", query(f"60 * sum by (expert) (rate({graded}{W}))", "{{expert}}")),
        table("Versions", "What runs where: version, router model, hash of the configuration.",
              "Instances differ: a rollout hangs, or one has refused its configuration (MixgateReloadFailed).",
              "none",
              [(f"sum by (instance, version, router_version, hash) (mixgate_build_info{{{I}}} "
                f"* on (job, instance) group_left (hash) mixgate_config_info)", "")],
              [{"id": "organize", "options": {
                  "excludeByName": {"Time": True, "Value": True},
                  "indexByName": {"instance": 0, "version": 1, "router_version": 2, "hash": 3},
                  "renameByName": {"router_version": "router model", "hash": "configuration"}}}]),
    ]


# ---- a dashboard from its panels


def variable(name, label, labels_of):
    expr = f"label_values({labels_of}, {name})"
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"qryType": 1, "query": expr, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "options": [],
        "hide": 0,
        "regex": "",
        "skipUrlSync": False,
    }


def annotation(name, color, expr, title):
    """A vertical line at the time that a series has for its value, in milliseconds."""
    return {
        "name": name,
        "datasource": SOURCE,
        "enable": True,
        "hide": False,
        "iconColor": color,
        "expr": expr,
        "titleFormat": title,
        "textFormat": "{{instance}}",
        "tagKeys": "instance",
        "useValueForTime": True,
        "step": "60s",
    }


def annotations():
    on = "on (job, instance) group_left"
    builtin = {
        "builtIn": 1,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": True,
        "iconColor": "rgba(0, 211, 255, 1)",
        "name": "Annotations & Alerts",
        "type": "dashboard",
    }
    return [
        builtin,
        annotation("Configuration", BLUE, f"1000 * mixgate_config_last_reload_timestamp_seconds{{{I}}} * {on} (hash) "
                   f"mixgate_config_info{{{I}}}", "configuration {{hash}}"),
        annotation("Start", "purple", f"1000 * process_start_time_seconds{{{I}}} * {on} (version, router_version) "
                   f"mixgate_build_info{{{I}}}", "mixgate {{version}}, router model {{router_version}}"),
    ]


def placed(panels):
    """Panels from left to right, line by line."""
    out, x, y, line = [], 0, 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > 24:
            x, y, line = 0, y + line, 0
        out.append(panel.json(number, x, y))
        x, line = x + panel.width, max(line, panel.height)
    return out


def dashboard(uid, title, description, panels):
    datasource = {
        "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus",
        "options": [], "hide": 0, "includeAll": False, "multi": False, "refresh": 1, "regex": "", "skipUrlSync": False,
    }
    links = [{
        "title": "mixgate", "type": "dashboards", "tags": ["mixgate"], "asDropdown": True, "includeVars": True,
        "keepTime": True, "targetBlank": False, "icon": "external link", "tooltip": "", "url": "",
    }]
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["mixgate", "llm"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "timepicker": {},
        "fiscalYearStartMonth": 0,
        "weekStart": "",
        "links": links,
        "templating": {"list": [
            datasource,
            variable("instance", "Instance", "mixgate_build_info"),
            variable("expert", "Expert", 'mixgate_in_flight_requests{instance=~"$instance"}'),
        ]},
        "annotations": {"list": annotations()},
        "panels": placed(panels),
    }


DASHBOARDS = {
    "overview.json": lambda: dashboard(
        "mixgate-overview", "mixgate overview",
        "Is the service well: rate, errors, times, load, upstreams.", overview()),
    "money.json": lambda: dashboard(
        "mixgate-money", "mixgate money",
        "What it costs, what the fallback alone would have cost, what is saved.", money()),
    "routing.json": lambda: dashboard(
        "mixgate-routing", "mixgate routing",
        "Where requests go and why, and how sure the router is.", routing()),
}


def main(arguments):
    if arguments not in ([], ["--check"]):
        sys.exit(f"{arguments[0]} is not known here; usage: python3 dashboards/make.py [--check]")
    stale = []
    for name, make in DASHBOARDS.items():
        text = json.dumps(make(), indent=2, ensure_ascii=False) + "\n"
        path = HERE / name
        if not arguments:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(f"dashboards/{name}")
    if stale:
        sys.exit(f"{', '.join(stale)}: not what make.py makes; run python3 dashboards/make.py")


if __name__ == "__main__":
    main(sys.argv[1:])
