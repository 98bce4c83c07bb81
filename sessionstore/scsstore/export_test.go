package scsstore

// DecodeRow is what reads the rows' bytes, with scs' own codec.
func DecodeRow(version byte, b []byte) (Data, error) { return rowCodec{}.Decode(version, b) }

// EncodeRow is the reverse.
func EncodeRow(d Data) ([]byte, error) { return rowCodec{}.Encode(d) }

// RowVersion is the version that is written.
func RowVersion() byte { return rowCodec{}.Version() }

// FrameMagic begins what the manager's codec and the store tell each other.
const FrameMagic = frameMagic

// DecodeFrame is the manager's codec.
func DecodeFrame(b []byte) (map[string]any, error) {
	_, values, err := managerCodec{}.Decode(b)
	return values, err
}

// EncodeFrame is the reverse.
func EncodeFrame(values map[string]any) ([]byte, error) {
	f := frame{from: &origin{user: "ann"}}
	data, err := forms{}.encode(values, func(string) bool { return false })
	f.data = data
	return f.bytes(), err
}

// Handles is how many handles of Iterate a store keeps.
func Handles(s *Store) int {
	s.handles.mu.Lock()
	defer s.handles.mu.Unlock()
	return len(s.handles.known)
}

// AgeHandles makes them too old.
func AgeHandles(s *Store) {
	s.handles.mu.Lock()
	defer s.handles.mu.Unlock()
	for token, h := range s.handles.known {
		h.at = h.at.Add(-2 * handlesKept)
		s.handles.known[token] = h
	}
}
