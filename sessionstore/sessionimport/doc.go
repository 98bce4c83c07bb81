// Package sessionimport moves valid sessions from the tables of other stores into a sessionstore, so that a program
// can change its store without logging users out: from alexedwards/scs's pgxstore and postgresstore for scsstore, and
// from antonlindstrom/pgstore for gorillastore. MIGRATING.md, one folder up, describes what happens to tokens,
// deadlines and users.
//
// An import reads the old table and does not change it. It can be repeated, even while the program runs: sessions
// that exist, or have ended, in the new store are not changed.
package sessionimport
