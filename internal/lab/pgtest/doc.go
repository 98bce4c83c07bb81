// Package pgtest gives tests and demos a real Postgres without ceremony.
//
// There are four kinds of server. [Start] tries them in this order, uses the
// first that works, and logs one line about it:
//
//   - dsn: a server that already runs, named by PGCOHERENCE_DATABASE_URL.
//   - binaries: initdb and postgres in PGCOHERENCE_POSTGRES_BIN, on PATH, or in
//     the newest /usr/lib/postgresql/*/bin.
//   - container: a container of PGCOHERENCE_POSTGRES_IMAGE, if a container
//     engine responds.
//   - download: binaries fetched by embedded-postgres, started like local ones.
//
// PGCOHERENCE_POSTGRES=dsn|binaries|container|download forces one kind.
//
// Most tests need a database of their own on a shared server: [New]. Tests of
// faults need a server of their own that they may crash: [NewServer]. Demos call
// [Start], which needs no test. [NewBouncer] puts a PgBouncer in front of a
// database. A TestMain stops the shared server before goroutines are counted:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }
//
// # Guarantees
//
//   - A database from New has the template's content and nothing else, and no
//     other test sees it.
//   - A server keeps its port and its data across Stop, Crash and Start.
//   - After Close no process, directory, container or goroutine is left.
//   - A server started from binaries ends, and its directory is removed, when
//     the process that started it dies, even by SIGKILL: a watchdog process
//     reads a pipe from its owner until end of file. (A parent-death signal
//     exists on Linux only, and fires when the starting thread ends.)
//   - A test that finds no Postgres fails where CI=true, and where a kind was
//     forced; elsewhere it is skipped with the reasons.
//
// # Limits
//
//   - Only servers from binaries (found or downloaded) can be stopped, crashed
//     or copied; the methods of others return [ErrUnsupported].
//   - Starting binaries needs a Unix; the watchdog needs sh and sleep. Root
//     needs a user postgres or nobody, since Postgres refuses to run as root.
//   - The process's temporary directory must be searchable by that user.
//   - Containers and downloads need the go tool and a clone of the repository:
//     the libraries behind them are required by a module of its own, pgsource,
//     whose programs go run starts.
//   - A killed test process leaves its databases behind on a dsn server. They are
//     recognised by their name: pgtest_….
//   - Write-ahead logging is complete, but fsync is off by default: a crash of
//     the process loses nothing, a crash of the machine may lose everything.
package pgtest
