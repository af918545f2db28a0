package acpi

import "github.com/bulkhead-vm/bulkhead/boot/acpi/aml"

// dsdtRevision makes AML's integers 64 bits wide.
const dsdtRevision = 2

// systemBus is the scope of all devices; ACPI 6.4, section 5.3.1.
const systemBus = `\_SB`

// dsdt is the differentiated system description table: the devices, and how the
// machine is turned off; ACPI 6.4, section 5.2.11.1.
func dsdt(devices []Device, sleepOff uint8) []byte {
	var all []aml.Term
	for _, d := range devices {
		all = append(all, d.define())
	}
	if ged := eventDevice(devices); ged != nil {
		all = append(all, ged)
	}
	body := append(aml.Scope(systemBus, all...), softOff(sleepOff)...)
	return table("DSDT", dsdtRevision, body)
}

// softOff says which sleep type turns the machine off; ACPI 6.4, section 7.4.2.
// The second is for fixed hardware, the rest is reserved.
func softOff(sleepType uint8) aml.Term {
	zero := aml.Integer(0)
	return aml.Name(`\_S5`, aml.Package(aml.Integer(uint64(sleepType)), zero, zero, zero))
}

// eventDevice is the generic event device, which turns interrupts into events
// of the devices they are for; ACPI 6.4, section 5.6.9. Without any it is nil.
func eventDevice(devices []Device) aml.Term {
	var interrupts []aml.Resource
	var handlers []aml.Term
	for _, d := range devices {
		n, ok := d.(notifier)
		if !ok {
			continue
		}
		gsi, name, event := n.event()
		interrupts = append(interrupts, aml.Interrupt(gsi))
		handlers = append(handlers, aml.If(aml.Equal(aml.Arg(0), aml.Integer(uint64(gsi))),
			aml.Notify(systemBus+"."+name, event)))
	}
	if handlers == nil {
		return nil
	}
	return aml.Device("GED",
		aml.Name("_HID", aml.String("ACPI0013")),
		aml.Name("_CRS", aml.Resources(interrupts...)),
		aml.Method("_EVT", 1, handlers...),
	)
}
