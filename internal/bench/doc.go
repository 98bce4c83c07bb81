// Command bench measures what the library costs and how quick it is, beside
// baselines in the same run:
//
//	go run -C internal/bench . write   [-short] [-json FILE]
//	go run -C internal/bench . delay   [-short] [-json FILE] [-rate N]
//	go run -C internal/bench . catchup [-short] [-json FILE]
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
package main
