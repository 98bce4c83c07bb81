// Package storetest is what the tests of sessionstore and of its adapters have in common: a database with the tables, a
// bus that runs, and a browser that goes from pod to pod.
package storetest
