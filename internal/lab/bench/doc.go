// Command bench measures what the library costs and how quick it is, beside
// what users would pick instead, in the same run:
//
//	go run -C internal/lab/bench . all     [-short] [-only NAMES] [-without NAMES]
//	go run -C internal/lab/bench . write   [-short]
//	go run -C internal/lab/bench . delay   [-short] [-rate N]
//	go run -C internal/lab/bench . fanout  [-short] [-rate N] [-pods N]
//	go run -C internal/lab/bench . confirm [-short]
//	go run -C internal/lab/bench . catchup [-short]
//	go run -C internal/lab/bench . idle    [-short]
//	go run -C internal/lab/bench . hit     [-short]
//	go run -C internal/lab/bench . ratio   [-short]
//	go run -C internal/lab/bench . fill    [-short]
//	go run -C internal/lab/bench . memory  [-short]
//	go run -C internal/lab/bench . stale   [-short]
//	go run -C internal/lab/bench . tier    [-short]
//	go run -C internal/lab/bench . session [-short]
//	go run -C internal/lab/bench . lock    [-short]
//	go run -C internal/lab/bench . growth  [-short]
//
// All of them take -json FILE, -markdown FILE and -plot DIR (SVG and PNG). A bar
// on the terminal shows how far a run has come. Two commands work on files of
// -json:
//
//	go run -C internal/lab/bench . report  FILE... [-json FILE] [-markdown FILE] [-plot DIR] [-docs DIR]
//	go run -C internal/lab/bench . compare OLD.json[,MORE.json] NEW.json[,MORE.json]
//
// report puts several files together, so that a long run can be made in pieces;
// with -docs it writes docs/performance.json and all that is made from it.
// compare prints what got slower beyond noise, and exits with 2 if anything did.
//
// It starts a Postgres of its own, with fsync on, by way of internal/lab/pgtest,
// whose environment variables choose another one. Each command prints a table
// for people and ends with lines for programs:
//
//	RESULT write.ratio.ssd 0.88
//
// The file of -json holds the same figures, those of single rounds, and what
// they were measured on. Relative names are resolved where the command runs:
// with go run -C, in internal/lab/bench.
//
// # How to read the figures
//
//   - Client and server share the machine's processors, so a transaction rate
//     at many writers counts the processor time of both.
//   - Absolute rates differ between machines and from minute to minute. The
//     ratios are what counts: the variants take turns in every round, in an
//     order that rotates, and a ratio is the median over the rounds of the
//     ratio within each round. Behind each figure stands the smallest and the
//     largest of the rounds.
//   - "ssd" is the disk as it is, under the directory for temporary files; on a
//     memory disk a flush costs nothing. "2ms" is the same with flushes that
//     take 2 ms longer, as on a managed disk: commit_delay makes the one who
//     flushes for all wait that long first.
//   - "floor" is the cheapest log row that there can be, "floor_lazy" the same with
//     BEGIN sent together with the update, as the library does. server_us and
//     client_us are the processor time of a commit on both sides, where the
//     server's processes are seen from here.
//   - The pods of confirm and fanout are buses in this one process, so what all
//     of them decode and deliver is paid by the same processors as the server.
//     Both commands therefore also show a simpler way of doing the same on the
//     same machine, and fanout the processor time of both sides.
//   - Server CPUs are how many processors the server's processes kept busy, from
//     the first event of a slot until the last has arrived; cpu_ratio divides
//     the time for one event by that of another way. It comes from /proc, so
//     fanout needs Linux and a server whose processes are seen there.
//   - The caches of hit, fill and memory get the same keys, pointers as values,
//     and a time to live of an hour; golang-lru and mutex+simplelru have none.
//     "between reads" is the time divided by the reads of all goroutines.
//   - mutex+simplelru is a list, a map and nothing else; with the clock, which every proof of freshness and every TTL has to
//     read, it is another thing: hit.ratio.raw_clock compares with that.
//   - hit runs on a bus that is connected, because asking it for its freshness is
//     a part of every hit. hit.metrics_overhead 0.01 is one per cent slower with
//     a scrape in each sample of a quarter of a second than without, of the same
//     cache: sixty times as many as people set. Counting goes on in both.
//   - hit.hot.ratio.otter is of one key that 16 goroutines read with GOMAXPROCS=16, on however many processors there are.
//   - The traces of ratio are made by the generators in trace.go, with seeds. ratio.loop.vs_otter is the part of the reads
//     that this library's cache serves divided by otter's, both with room for 10,000 entries.
//   - tier.many.ratio.rueidis divides GetMany of a cache that holds none of 1,000 keys by one MGET of the same client and the
//     decoding of the same JSON; rueidis_pipeline by 1,000 GETs in one DoMulti. GetMany also checks what is invalid, and
//     stores the values.
//   - jetcache-go and eko/gocache are missing among the peers: their modules were
//     not to be had from the module proxy when this was written.
//   - The leases of lock are each client's own, except where one lease is handed
//     around. Redis runs twice: with every write on disk before it is answered, as
//     Postgres and etcd have it, and with up to a second that a crash may lose. The
//     servers stand idle while they are not measured. pglock goes through lib/pq,
//     the driver it is made for.
//   - lock.ratio.sql compares with two statements of which the second does not wait
//     for the disk, as Release does not; lock.ratio.sql_waits with two that both
//     wait, as they do if nobody thinks of it.
//   - A lease is handed on when somebody gets it who had asked before it was given
//     up. lock.handoff_p50_ms counts those in another pod than the one who had it:
//     they hear of it by the bus' listening connection. Sides that poll are quick
//     whenever somebody happens to poll; their longest wait tells the rest.
//   - lock.tries_per_grant is how many statements a waiter sends to take what it
//     has been told of; the one that finds the lease taken, before it waits, is not
//     among them. lock.guard_cost is in per cent of the transactions per second.
//   - lock.sql_ratio calls the SQL functions through the same driver as the Go
//     package, lock.sql_ratio.pgbench through pgbench.
//   - lock.takeover_ms is from the end of an owner's connections, as a process that
//     is killed ends them, until the next has its lease, with TakeoverAfter 1 s.
//   - write counts the processor time of Redis with that of the server. The reader of the outbox polls ten times a
//     second. Nobody subscribes to watermill-sql's messages: its subscriber would weigh on it further.
//   - In the curve of delay, pods are goroutines of this process. Each has its connections to itself, except those that
//     poll. The model has three terms: an event, a pod, and an event at a pod; what it says of thousands of pods is
//     beyond what was measured.
//   - The faults of stale hit all sides at once. A read is stale if its value was replaced more than a quarter of a
//     second before the read began. How each side is set up stands in stale_side.go, stale_notify.go, stale_redis.go and
//     stale_ttl.go, and with the table.
//   - growth divides what something costs in large by what it costs in small.
//   - The updates alone run half as long: they only say what is not of any
//     notification.
package main
