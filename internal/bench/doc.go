// Command bench measures what the library costs and how quick it is, beside
// baselines in the same run:
//
//	go run -C internal/bench . write   [-short] [-json FILE]
//	go run -C internal/bench . delay   [-short] [-json FILE] [-rate N]
//	go run -C internal/bench . catchup [-short] [-json FILE]
//	go run -C internal/bench . confirm [-short] [-json FILE]
//	go run -C internal/bench . fanout  [-short] [-json FILE] [-rate N] [-pods N]
//
// It starts a Postgres of its own, with fsync on, by way of internal/pgtest,
// whose environment variables choose another one. Each command prints a table
// for people and ends with lines for programs:
//
//	RESULT write.ratio.ssd 0.88
//
// The file of -json holds the same figures, those of single rounds, and what
// they were measured on. Relative names are resolved where the command runs:
// with go run -C, in internal/bench.
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
//   - The pods of confirm and fanout are buses in this one process, so what all
//     of them decode and deliver is paid by the same processors as the server.
//     Both commands therefore also show a simpler way of doing the same on the
//     same machine, and fanout the processor time of both sides.
//   - Server CPUs are how many processors the server's processes kept busy, from
//     the first event of a slot until the last has arrived; cpu_ratio divides
//     the time for one event by that of another way. It comes from /proc, so
//     fanout needs Linux and a server whose processes are seen there.
//   - The updates alone run half as long: they only say what is not of any
//     notification.
package main
