// Package wire encodes and decodes the messages that pods send each other through NOTIFY.
//
// A payload is one line of text that a person can read in psql:
//
//	1 4f1c09d2a1b3e877 {"e":[{"t":"users","k":["42"],"x":["7301.0"]}],"m":{"from":"7300.0","to":"7302.0"}} oQ3Hc0bJmYV1mQ7x
//
// version, epoch, body, and a truncated HMAC-SHA-256 over all before it with the epoch's secret: any role of a
// database can send NOTIFY, so a payload is believed only with this. It is at most MaxPayload bytes long (Postgres
// takes 7,999), so large sets of events are packed into several payloads of one NOTIFY transaction.
//
// The package decides nothing: what a mark means is internal/position's, whom an event reaches is the bus's.
package wire
