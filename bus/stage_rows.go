package bus

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
)

// stagedRow is an event in the JSON that insert_events.sql takes. The JSON is ASCII, since it travels through a
// connection whose encoding may be any: other texts are in it as the hexadecimal form of their UTF-8.
type stagedRow struct {
	N        int32    `json:"n"`
	Topic    string   `json:"t,omitempty"`
	TopicHex string   `json:"tx,omitempty"`
	Keys     []string `json:"k,omitempty"`
	KeysHex  []string `json:"kx,omitempty"`
	Whole    bool     `json:"w,omitempty"`
}

// stagedJSON encodes events, whose numbers begin at first.
func stagedJSON(events []Event, first int32) (string, error) {
	rows := make([]stagedRow, len(events))
	for i, e := range events {
		row := stagedRow{N: first + int32(i), Topic: e.Topic, Keys: e.Keys, Whole: e.All}
		if !isASCII(e.Topic) {
			row.Topic, row.TopicHex = "", hex.EncodeToString([]byte(e.Topic))
		}
		if !allKeys(e.Keys, isASCII) {
			row.Keys, row.KeysHex = splitKeys(e.Keys)
		}

		rows[i] = row
	}

	text, err := json.Marshal(rows)
	if err != nil {
		return "", fmt.Errorf("encode events: %w", err)
	}

	return string(text), nil
}

// splitKeys separates the keys that are ASCII from the others.
func splitKeys(keys []string) (plain, hexadecimal []string) {
	for _, key := range keys {
		if isASCII(key) {
			plain = append(plain, key)
		} else {
			hexadecimal = append(hexadecimal, hex.EncodeToString([]byte(key)))
		}
	}
	return plain, hexadecimal
}
