package gorillastore

// DecodeRow is what reads the rows' bytes.
func DecodeRow(version byte, b []byte) (Data, error) { return rowCodec{}.Decode(version, b) }

// EncodeRow is the reverse.
func EncodeRow(d Data) ([]byte, error) { return rowCodec{}.Encode(d) }

// RowVersion is the version that is written.
const RowVersion = dataVersion
