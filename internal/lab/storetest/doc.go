// Package storetest contains what the tests of sessionstore and of its adapters share: a database with the tables, a running
// bus, a browser that sends requests to several pods, and the contract of all session stores.
package storetest
