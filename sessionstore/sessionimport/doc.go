// Package sessionimport moves live sessions from the tables of other stores into a sessionstore, so that a program changes
// its store and nobody is logged out: those of alexedwards/scs' pgxstore and postgresstore, for scsstore, and those of
// antonlindstrom/pgstore, for gorillastore. MIGRATING.md, one folder up, says what happens to tokens, deadlines and users.
//
// Importing reads the old table and changes nothing in it. It can be run again, also while the program runs: what is in
// the new store already stays as it is there, and what was ended there stays so.
package sessionimport
