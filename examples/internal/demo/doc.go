// Package demo is what the examples with several processes share: a command line that Ctrl-C ends in order, a database on a
// Postgres that is found or started, and child processes that end with their parent.
//
// The parent and its children run the same program. An environment variable marks a child; without it, the main function
// plays the story:
//
//	func main() {
//		if config := os.Getenv(podVariable); config != "" {
//			os.Exit(podMain(config)) // with a context from Leash
//		}
//		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) // ParseFlags, then Play
//	}
package demo
