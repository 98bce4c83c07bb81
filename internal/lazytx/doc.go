// Package lazytx is a transaction of pgx whose BEGIN travels with its first statement, so that it costs no round trip of
// its own. A transaction without statements sends nothing.
//
// # What goes together
//
// BEGIN and the first statement are one pipeline of the extended protocol with one Sync at its end: if BEGIN fails, the
// server skips the statement, so nothing ever runs outside of the transaction. A statement fails in the transaction
// exactly as it would have after a BEGIN of its own, with the same error, and leaves it aborted. That is done for Exec
// with arguments, Query and QueryRow, in all of pgx' exec modes that use the extended protocol.
//
// Everything else sends BEGIN first, in a round trip of its own: Exec without arguments, which pgx sends as simple
// protocol and which can hold several statements; the simple protocol altogether; options among the arguments other than
// named ones; SendBatch, CopyFrom, Prepare, savepoints, LargeObjects and Conn; a BEGIN that the caller wrote
// (TxOptions.BeginQuery), and isolation levels or access modes unknown to this package.
//
// Where the server refuses before BEGIN has run (the statement cannot be prepared, or what was prepared is gone), nothing
// has happened, and the statement is sent once more the usual way, after a BEGIN. So the caller sees what pgx would have
// returned.
//
// # What differs from pgx
//
//   - An error of BEGIN itself (a lost connection, serializable on a standby) comes from the first statement, or from
//     Commit.
//   - now() is the time of the first statement.
//   - Conn and LargeObjects send BEGIN and cannot return an error. If it fails they close the connection, so that whatever
//     is done with it fails as well.
//   - First statements have a cache of prepared statements of their own, a quarter of the size of pgx'. Statements that
//     are also used elsewhere are prepared twice.
//   - The pool's QueryTracer is called for BEGIN, and for the statement, as pgx would.
package lazytx
