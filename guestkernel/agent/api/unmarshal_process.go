package api

import "github.com/bulkhead-vm/bulkhead/guestkernel/agent/protowire"

// Unmarshal reads the wire format.
func (r *StartRequest) Unmarshal(b []byte) error {
	return protowire.Fields(b, func(f Field) error {
		switch f.Number {
		case 1:
			r.ID = f.String()
		case 2:
			r.Args = append(r.Args, f.String())
		case 3:
			r.Env = append(r.Env, f.String())
		case 4:
			r.Workdir = f.String()
		case 5:
			r.User = f.String()
		case 6:
			r.Stdin = f.Bool()
		case 7:
			if r.Terminal == nil {
				r.Terminal = &TerminalSize{}
			}
			return r.Terminal.unmarshal(f.Bytes)
		}
		return nil
	})
}

func (s *TerminalSize) unmarshal(b []byte) error {
	return protowire.Fields(b, func(f Field) error {
		switch f.Number {
		case 1:
			s.Rows = uint32(f.Varint)
		case 2:
			s.Columns = uint32(f.Varint)
		}
		return nil
	})
}

// Unmarshal reads the wire format.
func (r *WaitRequest) Unmarshal(b []byte) error {
	return protowire.Fields(b, func(f Field) error {
		if f.Number == 1 {
			r.ID = f.String()
		}
		return nil
	})
}

// Unmarshal reads the wire format.
func (r *SignalRequest) Unmarshal(b []byte) error {
	return protowire.Fields(b, func(f Field) error {
		switch f.Number {
		case 1:
			r.ID = f.String()
		case 2:
			r.Signal = int32(f.Varint)
		case 3:
			r.Group = f.Bool()
		}
		return nil
	})
}

// Unmarshal reads the wire format.
func (r *ResizeRequest) Unmarshal(b []byte) error {
	return protowire.Fields(b, func(f Field) error {
		switch f.Number {
		case 1:
			r.ID = f.String()
		case 2:
			return r.Size.unmarshal(f.Bytes)
		}
		return nil
	})
}

// Unmarshal reads the wire format.
func (r *PowerOffRequest) Unmarshal(b []byte) error {
	return protowire.Fields(b, func(f Field) error {
		if f.Number == 1 {
			r.GraceNs = f.Varint
		}
		return nil
	})
}
