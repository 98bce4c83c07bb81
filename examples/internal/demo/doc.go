// Package demo is what the examples with several processes have in common, and what is not their story: a command line
// that Ctrl-C ends in order, a database on a Postgres that is found or started, and child processes on a leash.
//
// An example is both parent and child. Its main function looks whether it is a child, which has a variable of its
// environment, and otherwise plays the story:
//
//	func main() {
//		if config := os.Getenv(podVariable); config != "" {
//			os.Exit(podMain(config)) // with a context from Leash
//		}
//		os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) // ParseFlags, then Play
//	}
package demo
