-- What a database of the first form may hold; later forms keep it readable.
INSERT INTO message (id, account, origin, topic, mapping, event_id, digest, headers, received, priority, shard, context,
        state, attempts)
    VALUES (nextval('message_id'), 'shop', 0, 'orders/create', 'order', 'e1', '\x00', '', 1, 0, 3, NULL, 0, 0);
INSERT INTO body (message, received, data) VALUES (1, 1, '\x00726177');
INSERT INTO tally (area, a, b, n) VALUES ('message', 'pending', '', 1), ('backlog', 'shop', '', 1);
INSERT INTO entity (num, id, kind, version, erased, client, account, label, phase, placed, sort, changed, words, state)
    VALUES (nextval('entity_num'), 'order:old', 0, 3, 0, 'acme', 'shop', '#1', 'received', NULL, 5, 5, '#1', '\x007b226e223a377d');
INSERT INTO intent (n, id, entity, account, slot, generation, command, class, args, state, attempts, due, created, epoch,
        frozen_at, sent_digest, error)
    VALUES (nextval('intent_n'), '\x00112233445566778899aabbccddeeff', 1, 'east', 'release/east', 0, 'order.create', 3, '{}', 0, 0, 0, 0, 0, NULL, '', NULL);
INSERT INTO event (ordinal, client, entity, version, name, data, at)
    VALUES (nextval('event_ordinal'), 'acme', 'order:old', 3, 'order.placed', '{"n":7}', 5);
