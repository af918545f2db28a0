package api

import "github.com/bulkhead-vm/bulkhead/guestkernel/agent/protowire"

// Field is a field of a message on the wire.
type Field = protowire.Field

// Unmarshal reads the wire format, as all methods of this name do.
func (r *SetupRequest) Unmarshal(b []byte) error {
	return protowire.Fields(b, func(f Field) error {
		switch f.Number {
		case 1:
			if r.Root == nil { // a message sent in pieces is one
				r.Root = &RootFS{}
			}
			return r.Root.unmarshal(f.Bytes)
		case 2:
			r.Hostname = f.String()
		case 3:
			r.Interfaces = append(r.Interfaces, NetworkInterface{})
			return r.Interfaces[len(r.Interfaces)-1].unmarshal(f.Bytes)
		case 4:
			r.Nameservers = append(r.Nameservers, f.String())
		}
		return nil
	})
}

func (r *RootFS) unmarshal(b []byte) error {
	return protowire.Fields(b, func(f Field) error {
		switch f.Number {
		case 1:
			r.Device = f.String()
		case 2:
			r.FSType = f.String()
		case 3:
			r.Tmpfs, r.Disk, r.Writable = &TmpfsUpper{}, nil, false
			return r.Tmpfs.unmarshal(f.Bytes)
		case 4:
			r.Tmpfs, r.Disk, r.Writable = nil, &DiskUpper{}, false
			return r.Disk.unmarshal(f.Bytes)
		case 5:
			r.Tmpfs, r.Disk, r.Writable = nil, nil, true
		}
		return nil
	})
}

func (u *TmpfsUpper) unmarshal(b []byte) error {
	return protowire.Fields(b, func(f Field) error {
		if f.Number == 1 {
			u.SizeBytes = f.Varint
		}
		return nil
	})
}

func (u *DiskUpper) unmarshal(b []byte) error {
	return protowire.Fields(b, func(f Field) error {
		switch f.Number {
		case 1:
			u.Device = f.String()
		case 2:
			u.FSType = f.String()
		}
		return nil
	})
}

func (i *NetworkInterface) unmarshal(b []byte) error {
	return protowire.Fields(b, func(f Field) error {
		switch f.Number {
		case 1:
			i.Name = f.String()
		case 2:
			i.Addresses = append(i.Addresses, f.String())
		case 3:
			i.Gateways = append(i.Gateways, f.String())
		case 4:
			i.MTU = uint32(f.Varint)
		}
		return nil
	})
}
