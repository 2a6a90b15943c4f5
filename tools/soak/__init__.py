"""Run mixed work on clients for a long time, account for every call, and measure whether anything grows.

    python -m tools.soak --seconds 3600
    python -m tools.soak --seconds 180 --rate 600 --tracemalloc

The server is `runware.local`, over TLS on loopback, in a process of its own. Its connections are reset, ended, closed
or fall silent every few seconds. In between, all callers are held for a moment and their calls must have ended; then
memory, threads and descriptors of the client's process are measured. The exit code is 1 if a call was lost, doubled or
hangs, or if anything grows.

| module | what it has |
|---|---|
| `server` | the server's process: counts the executions of each call |
| `call_log` | the outcome of each call, in the client's process |
| `pacing` | the rate, and the gate that holds all callers |
| `threaded`, `asynchronous` | the callers: what a stranger's program might do |
| `growth` | measurements, the fit, and the thresholds |
| `run`, `report` | all of it; the summary and the verdict |
| `plants` | faults planted on purpose, to show that each of them would be found |
"""
