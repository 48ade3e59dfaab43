-- For wrk: the catalogue of traffic.py, 1,000 queries with 20 attributes, the k-th in proportion to 1/k, about.
local attributes = '["color", "material", "size", "brand", "style", "pattern", "shape", "price", "age group", "season", ' ..
  '"country of origin", "washing care", "pile height", "backing material", "room type", "warranty length", ' ..
  '"weight", "rug thickness", "eco friendly", "indoor outdoor use"]'
local headers = { ["content-type"] = "application/json" }
local known = {}

function init()
  math.randomseed(7)
  for number = 1, 1000 do
    local body = '{"query": "washable wool runner rug ' .. number .. '", "attributes": ' .. attributes .. "}"
    known[number] = wrk.format("POST", nil, headers, body)
  end
end

function request()
  return known[math.floor(1000 ^ math.random())]
end
