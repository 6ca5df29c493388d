// A message centre made with npm's `smpp`: binds whoever has the password, takes messages, sends receipts.
//
//     node smpp_centre.js PORT SYSTEM_ID PASSWORD
//
// Prints a line of JSON for each message, and `ready` first.
'use strict';
const smpp = require('smpp');
const [port, systemId, password] = process.argv.slice(2);

smpp.createServer({}, (session) => {
    session.on('error', () => {});
    const bind = (pdu) => {
        const right = pdu.system_id === systemId && pdu.password === password;
        session.send(pdu.response({ command_status: right ? smpp.ESME_ROK : smpp.ESME_RINVPASWD, system_id: 'npm' }));
    };
    session.on('bind_transmitter', bind);
    session.on('bind_transceiver', bind);
    session.on('enquire_link', (pdu) => session.send(pdu.response()));
    session.on('unbind', (pdu) => {
        console.log(JSON.stringify({ unbind: true }));
        session.send(pdu.response());
        session.close();
    });
    let count = 0;
    session.on('submit_sm', (pdu) => {
        count += 1;
        const id = `m${process.pid}-${count}`;
        console.log(JSON.stringify({
            from: pdu.source_addr,
            to: pdu.destination_addr,
            ton: [pdu.source_addr_ton, pdu.dest_addr_ton],
            coding: pdu.data_coding,
            receipt: pdu.registered_delivery,
            text: pdu.short_message.message.toString(),
            header: pdu.short_message.udh ? pdu.short_message.udh.map((part) => Array.from(part)) : null,
        }));
        // After the line, so that whoever was answered finds it.
        session.send(pdu.response({ message_id: id }));
        if (pdu.registered_delivery) {
            session.deliver_sm({
                source_addr: pdu.destination_addr,
                destination_addr: pdu.source_addr,
                esm_class: 4,
                short_message: `id:${id} sub:001 dlvrd:001 submit date:2601010000 done date:2601010001 stat:DELIVRD err:000 text:`,
            }, (answer) => console.log(JSON.stringify({ receipt_answered: answer.command_status })));
        }
    });
}).listen(Number(port), '127.0.0.1', () => console.log('ready'));
