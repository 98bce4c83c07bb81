// Package sessionstore keeps login sessions in Postgres and in the memory of every pod. A request costs no I/O, and a
// logout takes effect on all pods at once.
//
//	store, err := sessionstore.New[Data](bus, pool, nil)
//	go func() { ended <- store.Run(ctx) }() // an error, such as a missing schema, ends the program
//	…
//	login, err := store.BeginLogin(ctx, user)              // before the password is checked
//	…
//	token, session, err := store.Create(ctx, login, data, nil)
//	session, err = store.Get(ctx, token)                   // on any pod
//	receipt, err := store.RevokeUser(ctx, user)            // everywhere
//	err = bus.Confirm(ctx, receipt)                        // no pod serves any of them any more
//
// Data is any Go type; a [Codec] encodes it, by default as JSON. Every method that writes has a …Tx twin that joins a
// transaction of the bus, so a new password and the end of all other sessions can be one commit. [LocalStore] is the
// same for a program that runs as one process, without Postgres.
//
// # How it works
//
// A token is 256 random bits that only the client keeps. The first half of its SHA-256 identifies the row, and the
// second half proves the token. In caches and notifications a session is identified by the first half; people see a
// public id.
//
// Each user has a generation, and each session has the generation that was read before its credentials were checked.
// A session is valid only while the two are equal, in every read and every write. So ending all sessions of a user is
// one UPDATE, and no concurrent login escapes it. Generations come from one sequence and are never reused, for any
// user. The row of a single ended session stays for an hour, without its data. Only the creation of a session inserts
// a row: a write that finds no row, or an ended session, changes nothing.
//
// A periodic rotation derives the new token from the old one and a salt in the row. So concurrent requests that
// rotate, and a request whose response was lost, all get the same new token. The old token works until the new one is
// first used, and then for its grace.
//
// The sweep uses indexes to find sessions that are past their deadline, were ended, or were never used. It finds
// sessions that became idle by reading the table once a day, a part each minute, without writing to sessions in use.
//
// Deadlines are on the database's clock. A row is read together with its remaining time, which a pod counts down from
// before it sent the query. If a session in memory has expired, the pod reads it again. Uses are written when the
// last written one is older than a tenth of the idle timeout, all uses of a pod in one statement, by their age. They
// notify no pod.
//
// # Guarantees
//
//   - An ended session never becomes valid again, whatever runs at the same time: saves, uses, rotation, a login that
//     has checked the old password, a pod that was cut off, a second-level cache.
//   - When the bus's Confirm of a receipt has returned, no request that starts afterwards finds the session on any
//     pod.
//   - While the bus cannot prove that a pod's memory is in sync, each Get reads the database. If that is not
//     possible, Get returns [ErrUnavailable]: no request is authenticated by old data, except for the time that
//     Config.WhenStale allows.
//   - Two writers of one session never silently overwrite each other: the second gets [ErrConflict], which Update
//     resolves.
//   - After Rotate an old token is invalid at once, or, with a grace, that long after the first use of the new one.
//     Only a login and SetPolicy move the deadline.
//   - If a deleted user's id (ForgetUser) is assigned again, no earlier token opens anything of the new user, and the
//     new user opens nothing of the old one.
//   - AuthenticatedWithin is true only after credentials were checked, and not for imported, remembered or renewed
//     sessions.
//   - A one-time value can be taken once.
//   - Tokens, the second half of their hashes, one-time values and data are in no log, error, notification or metric.
//     With Config.Encrypt the database alone does not reveal the data either.
//   - Rows in Config.Tier are encrypted and authenticated with a key from the database: write access to the tier lets
//     no client in.
//   - Text that cannot be a token does not reach the database. Invented tokens fill no memory, and use at most
//     MaxLookups connections, whichever method they are passed to.
//
// # Limits
//
//   - A request that was authenticated continues after the end of its session. Use Bind for long ones.
//   - A use may be recorded up to a tenth of the idle timeout, or TouchAge, late, so a session can end that much
//     early. A pod that crashes loses the uses that it has not written.
//   - Without Run sessions work, but requests write the uses themselves, Bind fails, and no rows are deleted.
//   - With encryption a lost token means lost data, no administrator can read a session's data, and lists show only
//     what is in columns.
//   - RevokeBySID within a REPEATABLE READ transaction can miss a login that committed after its snapshot.
//   - A row of session_user stays until ForgetUser deletes it. A login that takes longer than a week cannot be
//     distinguished from one of a new user with the same id.
//   - In a transaction of the caller, an [Event] is reported after its statement, as Tentative.
//   - After an asynchronous failover the database may have lost the last moments, including ends of sessions.
package sessionstore
