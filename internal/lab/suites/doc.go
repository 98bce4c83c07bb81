// Command suites runs the test suites of alexedwards/scs and gorilla/sessions against the stores of scsstore and
// gorillastore, on a real Postgres. It copies the suites from the module cache, in the versions in go.mod, to a temporary
// directory, and patches scs.New and gorilla's stores there to use ours. This repository contains no copy of them.
//
//	make test-suites
//
// Tests that fail by design are listed with the reason. Any other failure is an error, and so is a listed test that passes.
package main
