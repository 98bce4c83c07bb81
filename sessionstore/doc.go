// Package sessionstore keeps login sessions in Postgres and in the memory of every pod, so that a request costs no I/O and
// a logout is heard by all pods at once.
//
//	store, err := sessionstore.New[Data](bus, pool, nil)
//	go func() { ended <- store.Run(ctx) }() // an error, such as a missing schema, ends the program
//	…
//	login, err := store.BeginLogin(ctx, user)              // before the password is checked
//	…
//	token, session, err := store.Create(ctx, login, data, nil)
//	session, err = store.Get(ctx, token)                   // on any pod
//	receipt, err := store.RevokeUser(ctx, user)            // everywhere
//	err = bus.Confirm(ctx, receipt)                        // nobody serves any of them any more
//
// Data is any Go type; a Codec turns it into bytes, by default JSON. Everything that writes has a …Tx twin which joins a
// transaction of the bus: "new password, all other sessions over" is one commit.
//
// # How it works
//
// A token is 256 random bits that only the client keeps. The row is found by the first half of their SHA-256 and proven by
// the second; the first half is also what the session is called in caches and notifications. People see a public id.
//
// Each user has a generation, and each session carries the one that was read before its credentials were checked. A
// session counts only while the two are equal, in every read and every write, so ending all sessions of a user is one
// UPDATE that no login under way slips past. Generations come from one sequence and are never given twice, to anybody. A
// session that is ended on its own keeps its row, emptied, for an hour. Rows are made when a session is created and at no
// other time: a write that finds none, or one that was ended, changes nothing.
//
// A periodic rotation derives the new token from the old one and a salt in the row. So requests that rotate at the same
// time, and one whose response was lost, are all given the same new token. The old one works until the new one is first
// used, and then for its grace.
//
// The sweep finds by indexes what is past its deadline, was ended, or was never used. What was used and then left alone it
// finds by reading the table once a day, a part each minute, without writing to sessions in use.
//
// Deadlines are the database's. A row is read together with how long it has left, and a pod counts that down from the
// moment before it asked; what it finds to have expired it asks for again. Uses are written when the last known one is a
// tenth of the idle timeout old, all of a pod in one statement, by their age; they wake nobody.
//
// # Guarantees
//
//   - A session that was ended never comes back, whatever races with its end: saves, uses, rotation, a login that had
//     checked the old password, a pod that was cut off, a second-level cache.
//   - When the bus' Confirm of a receipt has returned, no request that starts afterwards finds the session on any pod.
//   - While the bus cannot prove that a pod's memory is in sync, each Get asks the database. If that cannot be asked
//     either, Get fails (ErrUnavailable): nobody is let in on old knowledge, unless Config.WhenStale says for how long.
//   - Two writers of one session never overwrite each other unseen: ErrConflict, which Update resolves.
//   - An old token is dead at once after Rotate, or, with a grace, that long after the new one was first used. The deadline
//     moves only with a login or SetPolicy.
//   - A user id that was forgotten (ForgetUser) and is given again opens nothing of before, and no token of before opens
//     anything of it.
//   - AuthenticatedWithin is true only after credentials: not for sessions that were imported, remembered or renewed.
//   - A one-time value is taken by one taker.
//   - Tokens, the second half of their hashes, one-time values and data are in no log, error, notification or metric. With
//     Config.Encrypt the database alone does not give data away either.
//   - Rows in Config.Tier are encrypted and authenticated by a key from the database: whoever can write there lets nobody
//     in.
//   - Text that cannot be a token does not reach the database; tokens that nobody was given fill no memory and keep no more
//     than MaxLookups of its connections, whatever method they are given to.
//
// # Limits
//
//   - A request that was let in goes on until it ends by itself; long ones use Bind.
//   - A use may be recorded up to a tenth of the idle timeout, or TouchAge, behind, so a session can end that much early;
//     uses that a pod had noted and not written when it crashed are lost.
//   - Without Run sessions work, but uses are written by the requests that find them due, Bind fails, and nothing is
//     deleted.
//   - With encryption a lost token is lost data, nobody can look into a session from outside, and lists show what is in
//     the columns.
//   - RevokeBySID within a transaction of REPEATABLE READ can miss a login that committed after its snapshot.
//   - A row of session_user stays until ForgetUser deletes it. A login that takes longer than a week is not told apart from
//     one of the user who is given a forgotten id.
//   - Within a transaction of the caller's an Event is reported when its statement has run, as Tentative.
//   - After an asynchronous failover the database may have forgotten the last moments, ends of sessions included.
package sessionstore
