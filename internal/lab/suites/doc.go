// Command suites runs the test suites of alexedwards/scs and gorilla/sessions against the stores of scsstore and
// gorillastore, on a real Postgres. The suites are taken from the module cache, in the versions that go.mod names, and
// patched in a temporary directory: there scs.New and gorilla's stores use ours. No copy of them is in this repository.
//
//	make test-suites
//
// What differs by decision is listed with its reason. Every other failure, and a listed test that passes, is an error.
package main
